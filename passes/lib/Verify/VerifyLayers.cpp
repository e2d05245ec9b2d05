// alpa-verify-layers: data flows one way through the layers. Shares nothing with
// alpa-cluster-layers but the list of ops.

#include "Pipeline/Layers/LayerChecks.h"
#include "Pipeline/Layers/OuterOps.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Passes.h"
#include "mlir/IR/SymbolTable.h"

namespace alpa {
#define GEN_PASS_DEF_VERIFYLAYERS
#include "alpa/Passes.h.inc"
namespace {

bool isBackward(mlir::Operation *op) { return phaseOf(op) == Phase::Backward; }

/// "forward 2" as people read it.
std::string partOf(mlir::Operation *op) {
  return (isBackward(op) ? "backward " : "forward ") + std::to_string(*layerOf(op));
}

bool mayFollow(mlir::Operation *earlier, mlir::Operation *later) {
  if (isBackward(earlier))
    return isBackward(later) && *layerOf(earlier) >= *layerOf(later);
  return isBackward(later) || *layerOf(earlier) <= *layerOf(later);
}

bool checkOp(const OuterOps &ops, int index, bool isMicrobatch) {
  mlir::Operation *op = ops[index].op;
  if (!layerOf(op)) {
    if (isRemovable(op))
      return true;
    op->emitError("expected a layer (alpa.layer) on '")
        << op->getName() << "', which has an effect and cannot be cloned";
    return false;
  }
  bool isGood = true;
  for (int producer : ops[index].producers) {
    mlir::Operation *from = ops[producer].op;
    if (!isMicrobatch || !layerOf(from) || mayFollow(from, op))
      continue;
    auto error = op->emitError("expected data to flow through forward 0, 1, ..., backward ..., 1, "
                               "0, got '")
                 << op->getName() << "' of " << partOf(op) << " reading from " << partOf(from);
    error.attachNote(from->getLoc()) << "made here, by '" << from->getName() << "'";
    isGood = false;
  }
  return isGood;
}

llvm::LogicalResult checkFunction(mlir::func::FuncOp function, bool isMicrobatch) {
  mlir::FailureOr<OuterOps> ops = OuterOps::build(function);
  if (mlir::failed(ops))
    return mlir::failure();
  bool isGood = true;
  for (int index = 0; index < ops->size(); ++index)
    isGood &= checkOp(*ops, index, isMicrobatch);
  return mlir::success(isGood);
}

struct VerifyLayers : impl::VerifyLayersBase<VerifyLayers> {
  void runOnOperation() override {
    mlir::FailureOr<StepFunctions> step = findStepFunctions(getOperation());
    if (mlir::failed(step) || mlir::failed(checkLayers(*step)))
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace

mlir::FailureOr<StepFunctions> findStepFunctions(mlir::ModuleOp module) {
  if (mlir::failed(checkModule(module)))
    return mlir::failure();
  mlir::SymbolTable symbols(module);
  StepFunctions step = {symbols.lookup<mlir::func::FuncOp>("microbatch"),
                        symbols.lookup<mlir::func::FuncOp>("update")};
  if (step.microbatch && step.update && !step.microbatch.isExternal() && !step.update.isExternal())
    return step;
  return module.emitError("expected functions @microbatch and @update; run "
                          "alpa-split-microbatches first");
}

llvm::LogicalResult checkLayers(const StepFunctions &step) {
  bool isGood = mlir::succeeded(checkFunction(step.microbatch, true));
  isGood &= mlir::succeeded(checkFunction(step.update, false));
  return mlir::success(isGood);
}

} // namespace alpa
