// Whether layers, however they were found, can become the stages of a pipeline.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace alpa {

/// The functions that alpa-split-microbatches leaves.
struct StepFunctions {
  mlir::func::FuncOp microbatch, update;
};
/// Fails with a diagnostic where one is missing.
mlir::FailureOr<StepFunctions> findStepFunctions(mlir::ModuleOp module);

/// Fails with an error for every op that has no layer and cannot be cloned, and for every value
/// that flows from a later part to an earlier one in the order forward 0, 1, ..., backward ..., 1,
/// 0. Reads `alpa.layer` and `alpa.phase` only.
llvm::LogicalResult checkLayers(const StepFunctions &step);

} // namespace alpa
