// alpa-analyze-training: writes the structure of a training step into the IR and tells it to
// people.

#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Remark.h"
#include "alpa/Passes.h"
#include "mlir/IR/Builders.h"
#include "llvm/Support/Format.h"

namespace alpa {
#define GEN_PASS_DEF_ANALYZETRAINING
#include "alpa/Passes.h.inc"
namespace {

void annotate(const OpGraph &graph, const TrainingPhases &training) {
  mlir::func::FuncOp function = graph.function();
  mlir::Builder builder(function.getContext());
  for (auto [number, role] : llvm::enumerate(training.roles))
    function.setArgAttr(number, kRoleAttr, builder.getStringAttr(name(role)));
  for (int index = 0; index < graph.size(); ++index) {
    mlir::Operation *op = graph[index].op;
    op->removeDiscardableAttr(kAccumulateAttr);
    op->removeDiscardableAttr(kGradientOfAttr);
    op->setDiscardableAttr(kPhaseAttr, builder.getStringAttr(name(training.phases[index])));
  }
  for (const FrontierValue &frontier : training.frontier) {
    auto result = llvm::dyn_cast<mlir::OpResult>(frontier.value);
    if (!result || frontier.isJoined)
      continue;
    mlir::Operation *op = result.getOwner();
    llvm::SmallVector<mlir::Attribute> combine(op->getNumResults(), builder.getStringAttr(""));
    if (auto before = op->getAttrOfType<mlir::ArrayAttr>(kAccumulateAttr))
      combine.assign(before.begin(), before.end());
    combine[result.getResultNumber()] = builder.getStringAttr(name(frontier.combine));
    op->setDiscardableAttr(kAccumulateAttr, builder.getArrayAttr(combine));
    llvm::SmallVector<mlir::Attribute> owners;
    if (auto before = op->getAttrOfType<mlir::ArrayAttr>(kGradientOfAttr))
      owners.assign(before.begin(), before.end());
    for (int owner : frontier.gradientOf)
      owners.push_back(builder.getI64IntegerAttr(owner));
    if (!owners.empty())
      op->setDiscardableAttr(kGradientOfAttr, builder.getArrayAttr(owners));
  }
}

std::string printed(double number) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.4g", number);
  return text;
}

std::string nameOf(mlir::func::FuncOp function, int argument) {
  auto name = function.getArgAttrOfType<mlir::StringAttr>(argument, kNameAttr);
  return "argument " + std::to_string(argument) +
         (name ? " (" + name.getValue().str() + ")" : std::string());
}

void reportPhases(const OpGraph &graph, const TrainingPhases &training) {
  for (Phase phase : {Phase::Prologue, Phase::Forward, Phase::Backward, Phase::Update}) {
    int count = 0;
    double flops = 0;
    for (int index = 0; index < graph.size(); ++index)
      if (training.phases[index] == phase) {
        ++count;
        flops += graph[index].flops * graph[index].multiplicity;
      }
    if (count > 0)
      emitCodedRemark(graph.function().getLoc(), "phase")
          << name(phase) << ": " << count << (count == 1 ? " op, " : " ops, ") << printed(flops)
          << " flops";
  }
}

void reportFrontier(const TrainingPhases &training) {
  for (const FrontierValue &frontier : training.frontier) {
    auto remark =
        emitCodedRemark(frontier.value.getLoc(), "frontier")
        << (frontier.isJoined ? std::string("microbatches are joined: ")
                              : "microbatches combine by " + name(frontier.combine).str() + ": ");
    if (frontier.isJoined && frontier.gradientOf.empty())
      remark << "read by the update";
    else if (frontier.gradientOf.empty())
      remark << "loss or metric";
    else
      remark << "gradient of argument ";
    llvm::interleaveComma(frontier.gradientOf, remark);
    remark << ", " << frontier.value.getType();
  }
}

struct AnalyzeTraining : impl::AnalyzeTrainingBase<AnalyzeTraining> {
  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    mlir::FailureOr<StepAnalysis> step = StepAnalysis::of(getOperation());
    if (mlir::failed(step))
      return signalPassFailure();
    const auto &[graph, batch] = *step;
    TrainingPhases training = trainingPhases(graph, batch);
    annotate(graph, training);

    reportPhases(graph, training);
    reportFrontier(training);
    for (mlir::Value value : training.prologue)
      emitCodedRemark(value.getLoc(), "prologue")
          << "prologue: computed once from the whole batch, every microbatch uses it, "
          << value.getType();
    for (const MixingOp &mixing : training.meetings.mixing)
      emitCodedRemark(mixing.op->getLoc(), "mixing")
          << "examples meet in '" << mixing.op->getName() << "': " << mixing.reason;
    for (auto [number, role] : llvm::enumerate(training.roles))
      if (role == ArgumentRole::Parameter && !training.isGradientFound(number))
        emitCodedRemark(graph.function().getArgument(number).getLoc(), "no-gradient")
            << nameOf(graph.function(), number) << ": no gradient reaches this parameter";
  }
};

} // namespace
} // namespace alpa
