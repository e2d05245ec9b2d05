// alpa-cluster-layers: which ops of @microbatch and @update belong together. Forward by the layer
// DP, backward beside its forward, update beside its parameters.

#include "LayerChecks.h"
#include "Layers.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/Passes.h"
#include "mlir/IR/Builders.h"

namespace alpa {
#define GEN_PASS_DEF_CLUSTERLAYERS
#include "alpa/Passes.h.inc"
namespace {

void markLayers(const OuterOps &ops, llvm::ArrayRef<int> layers) {
  mlir::Builder builder(ops.function().getContext());
  for (auto [node, layer] : llvm::zip(ops.ops(), layers))
    if (layer == kNoLayer)
      node.op->removeDiscardableAttr(kLayerAttr);
    else
      node.op->setDiscardableAttr(kLayerAttr, builder.getI64IntegerAttr(layer));
}

/// Parts are made by phase, so every op of the microbatch needs one.
void markPhases(const MicrobatchLayers &microbatch) {
  mlir::Builder builder(microbatch.ops.function().getContext());
  for (int index = 0; index < microbatch.ops.size(); ++index)
    microbatch.ops[index].op->setDiscardableAttr(
        kPhaseAttr, builder.getStringAttr(
                        name(microbatch.isBackward[index] ? Phase::Backward : Phase::Forward)));
}

struct ClusterLayers : impl::ClusterLayersBase<ClusterLayers> {
  using ClusterLayersBase::ClusterLayersBase;

  void runOnOperation() override {
    if (mlir::failed(cluster()))
      signalPassFailure();
  }

  /// Parameters are known by their number.
  static llvm::LogicalResult checkParameters(mlir::func::FuncOp function) {
    for (mlir::BlockArgument argument : function.getArguments())
      if (isParameter(argument) &&
          mlir::failed(BoundaryValue{function, argument.getArgNumber()}.integer(kArgumentAttr)))
        return mlir::failure();
    return mlir::success();
  }

  llvm::LogicalResult cluster() {
    mlir::FailureOr<StepFunctions> step = findStepFunctions(getOperation());
    if (mlir::failed(step))
      return mlir::failure();
    mlir::FailureOr<OuterOps> ofMicrobatch = OuterOps::build(step->microbatch);
    mlir::FailureOr<OuterOps> ofUpdate = OuterOps::build(step->update);
    if (mlir::failed(ofMicrobatch) || mlir::failed(ofUpdate) ||
        mlir::failed(checkParameters(step->microbatch)) ||
        mlir::failed(checkParameters(step->update)))
      return mlir::failure();
    if (!(flopsTolerance >= 0))
      return getOperation().emitError("expected a flops-tolerance of at least 0, got ")
             << flopsTolerance.getValue();

    MicrobatchLayers microbatch(std::move(*ofMicrobatch));
    if (mlir::failed(assignForwardLayers(microbatch, {numLayers, flopsTolerance})))
      return mlir::failure();
    assignBackwardLayers(microbatch);
    settleCloneable(microbatch.ops, microbatch.isCloneable, microbatch.layers);
    markLayers(microbatch.ops, microbatch.layers);
    markPhases(microbatch);
    markLayers(*ofUpdate, assignUpdateLayers(*ofUpdate, microbatch));
    return checkLayers(*step);
  }
};

} // namespace
} // namespace alpa
