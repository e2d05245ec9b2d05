// How one op passes batch dims on: the step of BatchDims that looks at no more than the op.
#pragma once

#include "alpa/Analysis/BatchDims.h"

namespace alpa {

struct BatchFlow {
  /// Per operand, the dim by which the op reads examples. Also of operands without examples, which
  /// then have an element (a row, ...) for each.
  llvm::SmallVector<std::optional<BatchDim>> reads;
  /// Dims that count examples in results, by the number of the result.
  llvm::SmallVector<std::pair<unsigned, BatchDim>> results;
  /// How the batch, or one of several, ends here.
  std::optional<BatchEnd> end;
};

/// Of an op that is no loop or branch, whose operands have these batch dims. Fails with a
/// diagnostic on a sharding rule that does not fit the op.
mlir::FailureOr<BatchFlow> batchFlow(mlir::Operation *op,
                                     llvm::ArrayRef<std::optional<BatchDim>> operands);

/// Both count the same examples, one maybe several as one: the coarser. None if neither does.
std::optional<BatchDim> coarser(const BatchDim &a, const BatchDim &b);

/// Whether a box from `start` to `limit` along a dim consists of whole periods of the batch: of the
/// views of a batch that were concatenated, some.
bool isWholePeriods(const BatchDim &batch, int64_t start, int64_t limit);

} // namespace alpa
