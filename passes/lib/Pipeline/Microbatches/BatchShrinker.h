// Clones ops for one microbatch.
#pragma once

#include "BatchResizer.h"

namespace alpa {

/// Element types of values that carry the batch shrink by `numMicrobatches`. Of a batch-free
/// operand that is read example by example, the microbatch `index` reads its part.
class BatchShrinker : public BatchResizer {
public:
  BatchShrinker(const BatchDims &batch, int64_t numMicrobatches, mlir::Value index)
      : BatchResizer(batch), numMicrobatches(numMicrobatches), index(index) {}

  llvm::LogicalResult clone(mlir::Operation *op, mlir::OpBuilder &builder) override;

  /// The examples of this microbatch of a tensor of the whole batch.
  static mlir::Value slice(mlir::Value whole, const BatchDim &dim, int64_t numMicrobatches,
                           mlir::Value index, mlir::OpBuilder &builder);
  /// `whole` with the examples of one microbatch replaced by `part`.
  static mlir::Value place(mlir::Value whole, mlir::Value part, const BatchDim &dim,
                           int64_t numMicrobatches, mlir::Value index, mlir::OpBuilder &builder);

private:
  int64_t resizedExtent(int64_t size) const override { return size / numMicrobatches; }
  mlir::Value fromWhole(mlir::Value whole, const BatchDim &dim, mlir::OpBuilder &builder) override {
    return slice(whole, dim, numMicrobatches, index, builder);
  }
  mlir::Value countedExamples(mlir::Operation *iota, const BatchDim &dim,
                              mlir::OpBuilder &builder) override;

  // --- Loops over examples: those of the microbatch only (ShrinkExampleLoops.cpp) ---

  llvm::LogicalResult cloneExampleLoop(mlir::Operation *from, const ExampleLoop &loop,
                                       mlir::Operation *to);
  /// A loop that would run once.
  llvm::LogicalResult inlineLoop(mlir::Operation *op, const ExampleLoop &loop,
                                 mlir::OpBuilder &builder);
  /// The body, in which the counter says where the example is in the whole batch, while slices of
  /// its part start at `local`.
  llvm::LogicalResult cloneExample(mlir::Operation *whileOp, const ExampleLoop &loop,
                                   mlir::Value local, mlir::OpBuilder &builder);
  /// What the loop over the whole batch counts where that over the microbatch counts `local`.
  mlir::Value countedInWhole(const ExampleLoop &loop, mlir::Value local,
                             StablehloBuilder &make) const;

  int64_t numMicrobatches;
  mlir::Value index;
};

} // namespace alpa
