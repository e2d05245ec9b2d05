// Chunks of a batch stacked along a dim of their own, and the same examples along one dim.
#pragma once

#include "alpa/Analysis/BatchDims.h"
#include "alpa/IR/StablehloBuilder.h"

namespace alpa {

/// Of a tensor of shape [..., n, ..., k, ...] or [..., k, ..., n, ...]: n chunks of k examples (or
/// of several views of them).
class ChunkLayout {
public:
  /// `chunkDim` counts chunks, `within` the examples of each.
  ChunkLayout(mlir::RankedTensorType stacked, int chunkDim, const BatchDim &within);

  /// The stacked chunks as a single one of all examples: [..., 1, ..., n * k, ...]. Examples of one
  /// chunk stay neighbours; of each view, those of the next chunk follow.
  mlir::Value join(mlir::Value stacked, StablehloBuilder &make) const;
  /// The other way round.
  mlir::Value takeApart(mlir::Value joined, StablehloBuilder &make) const;

private:
  /// The shapes on the way: stacked, with views in a dim of their own, with chunks moved before the
  /// examples, with both as one dim.
  llvm::SmallVector<int64_t> stacked, open, moved, merged, joined;
  llvm::SmallVector<int64_t> permutation; ///< from open to moved
};

/// `whole`, which has something for each example of one chunk, for those of `numChunks`: the same
/// again and again.
mlir::Value repeat(mlir::Value whole, const BatchDim &within, int64_t numChunks,
                   StablehloBuilder &make);

} // namespace alpa
