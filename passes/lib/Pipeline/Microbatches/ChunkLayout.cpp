// See the header.

#include "ChunkLayout.h"

namespace alpa {
namespace {

using Shape = llvm::SmallVector<int64_t>;

mlir::Value reshaped(mlir::Value value, llvm::ArrayRef<int64_t> shape, StablehloBuilder &make) {
  const bool isSo = llvm::cast<mlir::RankedTensorType>(value.getType()).getShape() == shape;
  return isSo ? value : make.reshape(value, shape);
}

mlir::Value transposed(mlir::Value value, llvm::ArrayRef<int64_t> permutation,
                       StablehloBuilder &make) {
  return llvm::is_sorted(permutation) ? value : make.transpose(value, permutation);
}

/// With dim `dim.dim` as the views, of which each has all examples, and those.
Shape withViews(llvm::ArrayRef<int64_t> shape, const BatchDim &dim) {
  Shape open(shape);
  const int64_t view = dim.size * dim.minor;
  open[dim.dim] = shape[dim.dim] / view;
  open.insert(open.begin() + dim.dim + 1, view);
  return open;
}

} // namespace

ChunkLayout::ChunkLayout(mlir::RankedTensorType type, int chunkDim, const BatchDim &within)
    : stacked(type.getShape()), open(withViews(stacked, within)), joined(stacked) {
  const int64_t numChunks = stacked[chunkDim];
  joined[chunkDim] = 1;
  joined[within.dim] *= numChunks;
  merged = joined;
  merged.erase(merged.begin() + chunkDim);

  const int64_t chunksInOpen = chunkDim > within.dim ? chunkDim + 1 : chunkDim;
  for (int64_t dim = 0; dim < static_cast<int64_t>(open.size()); ++dim) {
    if (dim == within.dim + 1)
      permutation.push_back(chunksInOpen);
    if (dim != chunksInOpen)
      permutation.push_back(dim);
  }
  // Views that are none need no dim.
  if (open[within.dim] == 1) {
    open = stacked;
    llvm::erase(permutation, within.dim);
    for (int64_t &dim : permutation)
      dim -= dim > within.dim ? 1 : 0;
  }
  for (int64_t dim : permutation)
    moved.push_back(open[dim]);
}

mlir::Value ChunkLayout::join(mlir::Value value, StablehloBuilder &make) const {
  value = transposed(reshaped(value, open, make), permutation, make);
  return make.reshape(make.reshape(value, merged), joined);
}

mlir::Value ChunkLayout::takeApart(mlir::Value value, StablehloBuilder &make) const {
  llvm::SmallVector<int64_t> back(permutation.size());
  for (auto [to, from] : llvm::enumerate(permutation))
    back[from] = static_cast<int64_t>(to);
  value = make.reshape(make.reshape(value, merged), moved);
  return reshaped(transposed(value, back, make), stacked, make);
}

mlir::Value repeat(mlir::Value whole, const BatchDim &within, int64_t numChunks,
                   StablehloBuilder &make) {
  Shape shape(llvm::cast<mlir::RankedTensorType>(whole.getType()).getShape());
  const Shape open = withViews(shape, within);
  shape[within.dim] *= numChunks;
  llvm::SmallVector<mlir::Value> copies(numChunks, make.reshape(whole, open));
  return make.reshape(make.concatenate(copies, within.dim + 1), shape);
}

} // namespace alpa
