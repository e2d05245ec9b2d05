// Clones ops for one microbatch: dims that count examples become shorter, nothing else changes.
#pragma once

#include "alpa/Analysis/BatchDims.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/IRMapping.h"
#include <map>

namespace alpa {

/// Element types of values that carry the batch shrink by `numMicrobatches`. A batch-free operand
/// that is read example by example (a mask from iota, bits from a key) is replaced by its part for
/// the microbatch `index`: made anew from smaller operands as far up as its ops are plain, sliced
/// where they are not.
class BatchShrinker {
public:
  BatchShrinker(const BatchDims &batch, int64_t numMicrobatches, mlir::Value index)
      : batch(batch), numMicrobatches(numMicrobatches), index(index) {}

  /// What stands for the values of the whole batch; callers map arguments before they clone.
  mlir::IRMapping mapping;

  llvm::LogicalResult clone(mlir::Operation *op, mlir::OpBuilder &builder);

  mlir::Type shrunk(mlir::Value value) const;
  /// The examples of this microbatch of a tensor of the whole batch.
  static mlir::Value slice(mlir::Value whole, const BatchDim &dim, int64_t numMicrobatches,
                           mlir::Value index, mlir::OpBuilder &builder);
  /// `whole` with the examples of one microbatch replaced by `part`.
  static mlir::Value place(mlir::Value whole, mlir::Value part, const BatchDim &dim,
                           int64_t numMicrobatches, mlir::Value index, mlir::OpBuilder &builder);

private:
  llvm::LogicalResult cloneRegions(mlir::Operation *from, mlir::Operation *to);
  /// All but the terminator.
  llvm::LogicalResult cloneBody(mlir::Block &block, mlir::OpBuilder &builder);
  /// The dim by which operand must count examples.
  std::optional<BatchDim> wantedDim(mlir::Operation *op, unsigned operand) const;

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

  mlir::Value operandFor(mlir::Value operand, const std::optional<BatchDim> &wanted,
                         mlir::OpBuilder &builder);
  /// The part of a batch-free value for this microbatch.
  mlir::Value part(mlir::Value value, const BatchDim &dim, mlir::OpBuilder &builder);
  mlir::Value remake(mlir::Value value, const BatchDim &dim, mlir::OpBuilder &builder);
  mlir::Type shrunk(mlir::Type type, const BatchDim &dim) const;

  const BatchDims &batch;
  int64_t numMicrobatches;
  mlir::Value index;
  /// Parts made so far in the block at work, by value, dim and minor.
  std::map<std::tuple<void *, int, int64_t>, mlir::Value> parts;
};

} // namespace alpa
