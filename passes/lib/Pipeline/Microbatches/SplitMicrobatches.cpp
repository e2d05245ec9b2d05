// alpa-split-microbatches: one step becomes @prologue, @microbatch (run m times) and @update; @main
// calls them and computes what it did before.

#include "BatchShrinker.h"
#include "Normalize/Normalize.h"
#include "SplitChecks.h"
#include "StepParts.h"
#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/Passes.h"

namespace alpa {
#define GEN_PASS_DEF_SPLITMICROBATCHES
#include "alpa/Passes.h.inc"
namespace {

/// Calls the parts in place of the ops of @main.
class MainRewriter {
public:
  MainRewriter(mlir::func::FuncOp main, const BatchDims &batch, const StepParts &parts,
               int64_t numMicrobatches)
      : main(main), batch(batch), parts(parts), numMicrobatches(numMicrobatches),
        builder(main.getContext()) {}

  void run() {
    Values arguments(main.getArguments());
    Values returned(main.getBody().front().back().getOperands());
    mlir::Block &old = main.getBody().front();
    mlir::Operation *end = &old.back();
    builder.setInsertionPoint(end);
    mlir::Location loc = main.getLoc();
    StablehloBuilder make(builder, loc);

    Values beforehand;
    if (parts.prologue.function)
      beforehand = parts.prologue.call(builder, arguments);
    Values carried;
    for (const FrontierValue &frontier : parts.accumulated) {
      mlir::RankedTensorType type = frontier.sumType();
      carried.push_back(make.splat(type, identityElement(frontier.combine, type.getElementType())));
    }
    for (size_t number : parts.perExample) {
      auto type = llvm::cast<mlir::RankedTensorType>(returned[number].getType());
      carried.push_back(make.splat(type, identityElement(additionOf(type), type.getElementType())));
    }
    carried = runMicrobatches(make, arguments, beforehand, carried, returned);

    Values operands = arguments;
    operands.append(beforehand);
    operands.append(carried.begin(), carried.begin() + parts.accumulated.size());
    Values updated = parts.update.call(builder, operands);
    auto nextUpdated = updated.begin();
    auto nextPerExample = carried.begin() + parts.accumulated.size();
    for (unsigned number = 0; number < returned.size(); ++number)
      end->setOperand(number, llvm::is_contained(parts.perExample, number) ? *nextPerExample++
                                                                           : *nextUpdated++);
    eraseDead(main.getBody());
  }

private:
  Values runMicrobatches(StablehloBuilder &make, const Values &arguments, const Values &beforehand,
                         const Values &carried, const Values &returned) {
    return make.countedLoop(numMicrobatches, carried, [&](mlir::Value index, mlir::ValueRange now) {
      Values operands = {index};
      for (mlir::Value argument : arguments)
        operands.push_back(batch.carries(argument)
                               ? BatchShrinker::slice(argument, *batch.of(argument),
                                                      numMicrobatches, index, builder)
                               : argument);
      operands.append(beforehand);
      operands.append(now.begin(), now.begin() + parts.accumulated.size());
      Values results = parts.microbatch.call(builder, operands);
      for (auto [i, number] : llvm::enumerate(parts.perExample)) {
        mlir::Value &result = results[parts.accumulated.size() + i];
        result = BatchShrinker::place(now[parts.accumulated.size() + i], result,
                                      *batch.of(returned[number]), numMicrobatches, index, builder);
      }
      return results;
    });
  }

  mlir::func::FuncOp main;
  const BatchDims &batch;
  const StepParts &parts;
  int64_t numMicrobatches;
  mlir::OpBuilder builder;
};

struct SplitMicrobatches : impl::SplitMicrobatchesBase<SplitMicrobatches> {
  using SplitMicrobatchesBase::SplitMicrobatchesBase;

  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    mlir::FailureOr<StepAnalysis> step = StepAnalysis::of(getOperation(), numMicrobatches);
    if (mlir::failed(step))
      return signalPassFailure();
    const auto &[graph, batch] = *step;
    TrainingPhases training = trainingPhases(graph, batch);
    if (mlir::failed(
            checkSplittable(graph, batch, training, numMicrobatches, allowLocalStatistics)))
      return signalPassFailure();
    mlir::FailureOr<StepParts> parts = makeStepParts(graph, batch, training, numMicrobatches);
    if (mlir::failed(parts))
      return signalPassFailure();
    MainRewriter(graph.function(), batch, *parts, numMicrobatches).run();
  }
};

} // namespace
} // namespace alpa
