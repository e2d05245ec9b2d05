// Where examples meet otherwise than in a sum that leaves them, and what becomes of it: computed
// before the microbatches, after them, or in the way.
#pragma once

#include "alpa/Analysis/BatchDims.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {

/// An op at which examples influence each other: microbatches would change the result.
struct MixingOp {
  mlir::Operation *op;
  std::string reason;
  /// What meets is a sum over examples: a statistic that could be taken per microbatch.
  bool isSum = false;
  /// The loop or branch that the value decides for all examples, or null.
  mlir::Operation *decided = nullptr;
};

struct Meetings {
  static Meetings find(const OpGraph &graph, const BatchDims &batch);

  /// Batch-free values from which, through ops whose results carry no batch, a value comes to an op
  /// that reads a batch-carrying value as well, or decides which branch examples take or how often
  /// a loop over them runs. Not so what a sum over examples starts from.
  llvm::DenseSet<mlir::Value> meetsBatch;
  /// Ops in which examples meet that read the batch (and keys and counts) alone, no parameter: they
  /// can run beforehand, on the whole batch.
  llvm::SetVector<mlir::Operation *> before;
  /// Ops that may run once, after all microbatches, on the values of all examples: those in which
  /// examples meet and whatever makes more of it from examples, where that is no more than a cheap
  /// tail (the loss of the first example, rows written into a table, losses without their mean).
  llvm::SetVector<mlir::Operation *> after;
  /// Ops in which examples meet that can do neither.
  std::vector<MixingOp> mixing;
  bool isMixing(mlir::Operation *op) const { return mixingOps.contains(op); }

private:
  friend class MeetingFinder;
  llvm::DenseSet<mlir::Operation *> mixingOps;
};

/// How what `op` makes of parts of the examples combines into what it makes of all; None where it
/// does not.
ReductionKind combinationOf(mlir::Operation *op);

} // namespace alpa
