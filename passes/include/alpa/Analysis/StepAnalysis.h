// What passes on a whole step start from.
#pragma once

#include "alpa/Analysis/BatchDims.h"

namespace alpa {

struct StepAnalysis {
  OpGraph graph;
  BatchDims batch;

  /// Of the public function. Fails with a diagnostic on a module that alpa-normalize did not leave,
  /// a sharding rule that does not fit its op, or a batch argument without dims.
  ///
  /// `numMicrobatches` are to be made: where they do not divide what counts as an example, for ops
  /// cut the batch into fewer chunks, the n-th examples of all chunks count as one instead.
  static mlir::FailureOr<StepAnalysis> of(mlir::ModuleOp module, int64_t numMicrobatches = 1);
};

/// `batch`, counted such that the n-th examples of `numChunks` chunks are one. Fails with a
/// diagnostic.
mlir::FailureOr<BatchDims> batchInChunks(const OpGraph &graph, const BatchDims &batch,
                                         int64_t numChunks);

} // namespace alpa
