// See the header.

#include "BatchShrinker.h"

namespace alpa {

llvm::LogicalResult BatchShrinker::clone(mlir::Operation *op, mlir::OpBuilder &builder) {
  const ExampleLoop *loop = batch.exampleLoop(op);
  if (!loop)
    return BatchResizer::clone(op, builder);
  if (loop->numIterations == numMicrobatches)
    return inlineLoop(op, *loop, builder);
  return cloneExampleLoop(op, *loop, cloneAlone(op, builder));
}

mlir::Value BatchShrinker::countedExamples(mlir::Operation *iota, const BatchDim &dim,
                                           mlir::OpBuilder &builder) {
  auto whole = llvm::cast<mlir::RankedTensorType>(iota->getResult(0).getType());
  if (whole.getDimSize(dim.dim) != dim.size * dim.minor)
    return {};
  auto type = llvm::cast<mlir::RankedTensorType>(resized(whole, dim));
  mlir::Operation *copy = builder.clone(*iota);
  copy->getResult(0).setType(type);
  StablehloBuilder make(builder, iota->getLoc());
  mlir::Value start = make.multiply(index, make.integer(type.getDimSize(dim.dim)));
  start = make.convert(start, type.getElementType());
  return make.add(copy->getResult(0), make.broadcast(start, type));
}

namespace {

/// A dim of `outer * size * minor`, split such that the examples are contiguous.
struct Split {
  Split(mlir::RankedTensorType type, const BatchDim &dim, int64_t numMicrobatches)
      : shape(type.getShape()), at(dim.dim) {
    int64_t whole = shape[at], inner = dim.size * dim.minor;
    partSize = inner / numMicrobatches;
    partShape = shape;
    partShape[at] = whole / numMicrobatches;
    isContiguous = whole == inner;
    if (isContiguous)
      return;
    splitShape = shape;
    splitShape[at] = whole / inner;
    splitShape.insert(splitShape.begin() + at + 1, inner);
    splitPartShape = splitShape;
    splitPartShape[++at] = partSize;
  }
  llvm::SmallVector<int64_t> shape, partShape, splitShape, splitPartShape;
  int at;
  int64_t partSize;
  bool isContiguous;
};

} // namespace

mlir::Value BatchShrinker::slice(mlir::Value whole, const BatchDim &dim, int64_t numMicrobatches,
                                 mlir::Value index, mlir::OpBuilder &builder) {
  StablehloBuilder make(builder, whole.getLoc());
  Split split(llvm::cast<mlir::RankedTensorType>(whole.getType()), dim, numMicrobatches);
  mlir::Value start = make.multiply(index, make.integer(split.partSize));
  if (split.isContiguous)
    return make.dynamicSlice(whole, split.at, start, split.partSize);
  mlir::Value open = make.reshape(whole, split.splitShape);
  return make.reshape(make.dynamicSlice(open, split.at, start, split.partSize), split.partShape);
}

mlir::Value BatchShrinker::place(mlir::Value whole, mlir::Value part, const BatchDim &dim,
                                 int64_t numMicrobatches, mlir::Value index,
                                 mlir::OpBuilder &builder) {
  StablehloBuilder make(builder, whole.getLoc());
  Split split(llvm::cast<mlir::RankedTensorType>(whole.getType()), dim, numMicrobatches);
  mlir::Value start = make.multiply(index, make.integer(split.partSize));
  if (split.isContiguous)
    return make.dynamicUpdateSlice(whole, part, split.at, start);
  mlir::Value open = make.reshape(whole, split.splitShape);
  mlir::Value openPart = make.reshape(part, split.splitPartShape);
  return make.reshape(make.dynamicUpdateSlice(open, openPart, split.at, start), split.shape);
}

} // namespace alpa
