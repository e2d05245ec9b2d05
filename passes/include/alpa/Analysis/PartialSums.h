// Sums over examples that loops and branches make: whether what comes out, made of parts of the
// batch and combined, is what comes out of the whole.
#pragma once

#include "alpa/Analysis/BatchDims.h"

namespace alpa {

class PartialSums {
public:
  /// `varying` are the values that depend on which part of the batch there is.
  PartialSums(const BatchDims &batch, const llvm::DenseSet<mlir::Value> &varying)
      : batch(batch), varying(varying) {}

  /// How a result of a loop or branch, without a batch dim itself, combines; None if in no way that
  /// could be shown: what is returned must be zero (or whatever changes nothing), a combination
  /// over examples, or made of such by ops that are linear in them.
  ReductionKind combinationOf(mlir::OpResult value);

private:
  bool isPartial(mlir::Value value);
  bool decide(mlir::Value value);
  bool ofCombination(mlir::Operation *op);
  bool ofLinear(mlir::Operation *op);
  bool ofElementwise(mlir::Operation *op);
  bool ofLoop(mlir::OpResult value);
  bool ofBranch(mlir::OpResult value);
  bool isNeutral(mlir::Value value) const;
  bool allPartial(mlir::ValueRange values);
  /// The same for every part of the batch.
  bool isFixed(mlir::Value value) const {
    return !varying.contains(value) && !batch.carries(value);
  }

  const BatchDims &batch;
  const llvm::DenseSet<mlir::Value> &varying;
  ReductionKind kind = ReductionKind::Add;
  llvm::DenseMap<mlir::Value, bool> known; ///< assumed, while a loop is looked at
};

} // namespace alpa
