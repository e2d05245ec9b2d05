// alpa-split-stages: one function per stage and phase, from the layers of the ops.

#include "FunctionCutter.h"
#include "UpdateRounds.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/IR/ValueNames.h"
#include "alpa/Passes.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/SymbolTable.h"

namespace alpa {
#define GEN_PASS_DEF_SPLITSTAGES
#include "alpa/Passes.h.inc"
namespace {

/// Attributes of arguments and results that say what the value is to the step.
constexpr std::pair<llvm::StringLiteral, ValueKind> kMarks[] = {
    {kArgumentAttr, ValueKind::Argument},
    {kPrologueAttr, ValueKind::Prologue},
    {kAccumulatorAttr, ValueKind::Sum},
    {kMicrobatchAttr, ValueKind::Microbatch}};

std::function<std::string(int)> namesOf(ValueKind kind) {
  return [kind](int number) { return valueName(kind, number); };
}

/// Consecutive layers as stages.
class StageOfLayer {
public:
  explicit StageOfLayer(llvm::ArrayRef<int64_t> firstLayers) : firstLayers(firstLayers) {}

  int numStages() const { return static_cast<int>(firstLayers.size()); }
  /// None for an op that belongs nowhere.
  std::optional<int> operator()(mlir::Operation *op) const {
    std::optional<int64_t> layer = layerOf(op);
    if (!layer)
      return std::nullopt;
    return static_cast<int>(llvm::upper_bound(firstLayers, *layer) - firstLayers.begin()) - 1;
  }

private:
  llvm::ArrayRef<int64_t> firstLayers;
};

class StageSplitter {
public:
  /// `only`: the stage whose functions are made; of the others there are declarations.
  StageSplitter(mlir::ModuleOp module, StageOfLayer stageOf, llvm::ArrayRef<int64_t> rematerialized,
                std::optional<int64_t> only)
      : symbols(module), stageOf(stageOf), rematerialized(rematerialized), only(only),
        builder(module.getContext()) {}

  llvm::LogicalResult run() {
    for (llvm::StringRef name : {"prologue", "microbatch", "update"})
      if (auto function = symbols.lookup<mlir::func::FuncOp>(name))
        if (mlir::failed(nameArguments(function)) || mlir::failed(checkResults(function)))
          return mlir::failure();
    if (mlir::failed(splitMicrobatch()) || mlir::failed(splitUpdate()))
      return mlir::failure();
    if (!only)
      placePrologue();
    return mlir::success();
  }

private:
  mlir::func::FuncOp function(llvm::StringRef name) {
    return symbols.lookup<mlir::func::FuncOp>(name);
  }

  llvm::LogicalResult nameArguments(mlir::func::FuncOp function) {
    llvm::SmallVector<mlir::Attribute> named;
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      mlir::NamedAttrList attributes(function.getArgAttrDict(i));
      for (auto [mark, kind] : kMarks)
        if (std::optional<int64_t> number = integerOf(attributes.get(mark)))
          attributes.set(kValueAttr, builder.getStringAttr(valueName(kind, *number)));
      if (!llvm::isa_and_nonnull<mlir::StringAttr>(attributes.get(kValueAttr))) {
        auto error = function.emitError("expected one of ");
        llvm::interleaveComma(kMarks, error, [&](auto &mark) { error << mark.first; });
        return error << " on argument " << i << " of @" << function.getName() << ", got none";
      }
      named.push_back(attributes.getDictionary(builder.getContext()));
    }
    function.setArgAttrsAttr(builder.getArrayAttr(named));
    return mlir::success();
  }

  /// Results are known by their number, and sums by the op that adds a part to them. What is
  /// returned as it came in has a name.
  llvm::LogicalResult checkResults(mlir::func::FuncOp function) {
    mlir::Operation &end = function.getBody().front().back();
    for (auto [i, value] : llvm::enumerate(end.getOperands())) {
      BoundaryValue result{function, static_cast<unsigned>(i), /*isResult=*/true};
      if (result.get(kAccumulatorAttr)) {
        mlir::Operation *combine = value.getDefiningOp();
        if (!combine || combine->getNumOperands() != 2)
          return function.emitError("expected result ")
                 << i << " of @" << function.getName() << " ('" << kAccumulatorAttr
                 << "') to be made by an op that combines it with one part";
        continue;
      }
      const bool isPrologue = function.getName() == "prologue";
      if (!isPrologue && llvm::isa<mlir::BlockArgument>(value))
        continue;
      if (mlir::failed(result.integer(isPrologue ? kPrologueAttr : kResultAttr)))
        return mlir::failure();
    }
    return mlir::success();
  }

  CutPart part(int stage, Phase phase, int round = 0) {
    llvm::StringRef phaseName = name(phase);
    std::string functionName = "stage" + std::to_string(stage) + "_" + phaseName.str();
    mlir::NamedAttrList attributes, ops;
    attributes.set(kStageAttr, builder.getI64IntegerAttr(stage));
    ops.set(kPhaseAttr, builder.getStringAttr(phaseName));
    if (phase == Phase::Update) {
      functionName += std::to_string(round);
      ops.set(kRoundAttr, builder.getI64IntegerAttr(round));
    }
    attributes.append(ops.begin(), ops.end());
    return {functionName, attributes.getDictionary(builder.getContext()),
            ops.getDictionary(builder.getContext())};
  }

  // --- Forward and backward ---

  llvm::LogicalResult splitMicrobatch() {
    mlir::func::FuncOp microbatch = function("microbatch");
    std::vector<CutPart> parts;
    for (int stage = 0; stage < stageOf.numStages(); ++stage)
      parts.push_back(part(stage, Phase::Forward));
    for (int stage = stageOf.numStages() - 1; stage >= 0; --stage)
      parts.push_back(part(stage, Phase::Backward));
    FunctionCutter cutter(microbatch, parts, namesOf(ValueKind::BetweenStages));

    mlir::Block &body = microbatch.getBody().front();
    for (mlir::Operation &op : body.without_terminator())
      cutter.place(&op, placementInMicrobatch(&op));
    std::vector<std::string> resultNames;
    for (auto [i, value] : llvm::enumerate(body.back().getOperands())) {
      mlir::DictionaryAttr attributes = microbatch.getResultAttrDict(i);
      if (std::optional<int64_t> number =
              integerOf(microbatch.getResultAttr(i, kAccumulatorAttr))) {
        resultNames.push_back(valueName(ValueKind::Sum, *number));
        mlir::Operation *combine = value.getDefiningOp();
        cutter.place(combine, {Placement::Stays});
        cutter.addResult({combine->getOperand(1), resultNames.back(), attributes, false});
      } else {
        resultNames.push_back(resultName(microbatch, i, value));
        cutter.addResult({value, resultNames.back(), attributes});
      }
    }
    nameResults(microbatch, resultNames);
    cutter.makeAgainWhere([this](mlir::Value value, int reader) {
      const int stage = 2 * stageOf.numStages() - 1 - reader;
      return llvm::is_contained(rematerialized, stage) && isWithinLayer(value, stage);
    });
    if (only)
      cutter.makeOnly([this](int part) {
        return part == *only || part == 2 * stageOf.numStages() - 1 - *only;
      });
    return cutter.run();
  }

  /// Whether a value of the stage's forward is read by no later layer: rematerialization keeps what
  /// layers start from, and makes again what is within them.
  bool isWithinLayer(mlir::Value value, int stage) {
    mlir::Operation *op = value.getDefiningOp();
    auto isForward = [](mlir::Operation *op) { return phaseOf(op) == Phase::Forward; };
    if (stageOf(op) != stage || !isForward(op) || !isRemovable(op))
      return false;
    return llvm::none_of(value.getUsers(), [&](mlir::Operation *user) {
      user = value.getParentBlock()->findAncestorOpInBlock(*user);
      return isForward(user) && layerOf(user) && *layerOf(user) > *layerOf(op);
    });
  }

  Placement placementInMicrobatch(mlir::Operation *op) {
    std::optional<int> stage = stageOf(op);
    if (!stage)
      return {Placement::Free, 0};
    const bool isBackward = phaseOf(op) == Phase::Backward;
    return {Placement::InPart, isBackward ? 2 * stageOf.numStages() - 1 - *stage : *stage};
  }

  /// What is returned as it came in keeps its name.
  static std::string resultName(mlir::func::FuncOp function, unsigned result, mlir::Value value) {
    if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(value))
      return function.getArgAttrOfType<mlir::StringAttr>(argument.getArgNumber(), kValueAttr).str();
    return valueName(ValueKind::Result, *integerOf(function.getResultAttr(result, kResultAttr)));
  }

  void nameResults(mlir::func::FuncOp function, llvm::ArrayRef<std::string> names) {
    llvm::SmallVector<mlir::Attribute> named;
    for (auto [i, name] : llvm::enumerate(names)) {
      mlir::NamedAttrList attributes(function.getResultAttrDict(i));
      attributes.set(kValueAttr, builder.getStringAttr(name));
      named.push_back(attributes.getDictionary(builder.getContext()));
    }
    function.setResAttrsAttr(builder.getArrayAttr(named));
  }

  // --- Update ---

  llvm::LogicalResult splitUpdate() {
    mlir::func::FuncOp update = function("update");
    mlir::Block &body = update.getBody().front();
    UpdateRounds rounds(body, [this](mlir::Operation *op) { return stageOf(op); });
    std::vector<CutPart> parts;
    for (UpdateRounds::Turn turn : rounds.turns())
      parts.push_back(part(turn.stage, Phase::Update, turn.round));
    FunctionCutter cutter(update, parts, namesOf(ValueKind::BetweenUpdates));
    for (mlir::Operation &op : body.without_terminator()) {
      std::optional<int> turn = rounds.turnOf(&op);
      cutter.place(&op, turn ? Placement{Placement::InPart, *turn} : Placement{Placement::Free, 0});
    }
    std::vector<std::string> resultNames;
    for (auto [i, value] : llvm::enumerate(body.back().getOperands())) {
      resultNames.push_back(resultName(update, i, value));
      cutter.addResult({value, resultNames.back(), update.getResultAttrDict(i)});
    }
    nameResults(update, resultNames);
    if (only)
      cutter.makeOnly([&](int part) { return rounds.turns()[part].stage == *only; });
    return cutter.run();
  }

  // --- Prologue ---

  /// It runs on the first stage that reads what it makes.
  void placePrologue() {
    mlir::func::FuncOp prologue = function("prologue");
    if (!prologue)
      return;
    int first = 0;
    function("microbatch").walk([&](mlir::func::CallOp call) {
      auto callee = call->getParentOfType<mlir::ModuleOp>().lookupSymbol<mlir::func::FuncOp>(
          call.getCallee());
      for (unsigned i = 0; i < callee.getNumArguments(); ++i)
        if (callee.getArgAttr(i, kPrologueAttr)) {
          first = static_cast<int>(*integerOf(callee->getAttr(kStageAttr)));
          return mlir::WalkResult::interrupt();
        }
      return mlir::WalkResult::advance();
    });
    prologue->setAttr(kStageAttr, builder.getI64IntegerAttr(first));
    prologue->setAttr(kPhaseAttr, builder.getStringAttr(name(Phase::Prologue)));
    std::vector<std::string> names;
    for (unsigned i = 0; i < prologue.getNumResults(); ++i)
      names.push_back(
          valueName(ValueKind::Prologue, *integerOf(prologue.getResultAttr(i, kPrologueAttr))));
    nameResults(prologue, names);
  }

  mlir::SymbolTable symbols;
  StageOfLayer stageOf;
  llvm::ArrayRef<int64_t> rematerialized; ///< stages
  std::optional<int64_t> only;
  mlir::Builder builder;
};

struct SplitStages : impl::SplitStagesBase<SplitStages> {
  using SplitStagesBase::SplitStagesBase;

  void runOnOperation() override {
    std::optional<int64_t> onlyStage;
    if (only >= 0)
      onlyStage = only;
    if (mlir::failed(checkStep()) || mlir::failed(checkFirstLayers()) ||
        mlir::failed(checkRematerialized()) || mlir::failed(checkOnly()) ||
        mlir::failed(
            StageSplitter(getOperation(), StageOfLayer(*firstLayers), *rematerialize, onlyStage)
                .run()))
      signalPassFailure();
  }

  llvm::LogicalResult checkStep() {
    if (mlir::failed(checkModule(getOperation())))
      return mlir::failure();
    mlir::SymbolTable symbols(getOperation());
    for (llvm::StringRef name : {"microbatch", "update", "prologue"}) {
      auto function = symbols.lookup<mlir::func::FuncOp>(name);
      if (!function && name == "prologue")
        continue;
      if (!function || function.isExternal())
        return getOperation().emitError("expected a function @")
               << name << "; run alpa-split-microbatches and alpa-cluster-layers first";
      for (auto call : function.getBody().getOps<mlir::func::CallOp>())
        return call.emitError("expected no call in @")
               << name << ", got one of @" << call.getCallee() << "; run alpa-normalize first";
    }
    return mlir::success();
  }

  llvm::LogicalResult checkRematerialized() {
    const auto numStages = static_cast<int64_t>(firstLayers.size());
    for (int64_t stage : *rematerialize)
      if (stage < 0 || stage >= numStages)
        return getOperation().emitError("expected stages to rematerialize below ")
               << numStages << ", got " << stage;
    return mlir::success();
  }

  llvm::LogicalResult checkOnly() {
    const auto numStages = static_cast<int64_t>(firstLayers.size());
    if (only < numStages)
      return mlir::success();
    return getOperation().emitError("expected the only stage to make below ")
           << numStages << ", got " << only.getValue();
  }

  llvm::LogicalResult checkFirstLayers() {
    const int64_t layers = numLayers(getOperation());
    if (layers == 0)
      return getOperation().emitError("expected ops with '")
             << kLayerAttr << "', got none; run alpa-cluster-layers first";
    bool isGood = !firstLayers.empty() && firstLayers[0] == 0;
    for (size_t i = 1; i < firstLayers.size(); ++i)
      isGood &= firstLayers[i - 1] < firstLayers[i];
    if (isGood && firstLayers[firstLayers.size() - 1] < layers)
      return mlir::success();
    auto error = getOperation().emitError("expected first-layers that ascend from 0 and are below ")
                 << layers << ", the number of layers, got ";
    llvm::interleaveComma(*firstLayers, error);
    return error;
  }
};

} // namespace
} // namespace alpa
