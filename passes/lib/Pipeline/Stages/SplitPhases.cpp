// alpa-split-phases: a stage with its shardings becomes one function per phase again, all of them
// agreeing on how the values that they pass on lie.

#include "FunctionCutter.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/IR/StablehloBuilder.h"
#include "alpa/IR/ValueNames.h"
#include "alpa/Passes.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "mlir/IR/Builders.h"
#include <map>

namespace alpa {
#define GEN_PASS_DEF_SPLITPHASES
#include "alpa/Passes.h.inc"
namespace {

/// In the order in which they run: forward, backward, then the rounds of the update.
using PhaseKey = std::pair<Phase, int64_t>;

std::optional<PhaseKey> phaseKey(mlir::Operation *op) {
  std::optional<Phase> phase = phaseOf(op);
  if (!phase || phase == Phase::Prologue)
    return std::nullopt;
  return PhaseKey(*phase, integerOf(op->getAttr(kRoundAttr)).value_or(0));
}

struct SplitPhases : impl::SplitPhasesBase<SplitPhases> {
  using SplitPhasesBase::SplitPhasesBase;

  void runOnOperation() override {
    llvm::SmallVector<mlir::func::FuncOp> functions(getOperation().getOps<mlir::func::FuncOp>());
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    if (functions.size() != 1 || functions.front().isExternal()) {
      getOperation().emitError("expected the one function of a stage, got ")
          << functions.size() << "; run alpa-extract-stage and alpa-normalize first";
      return signalPassFailure();
    }
    if (mlir::failed(split(functions.front())))
      return signalPassFailure();
    functions.front().erase();
  }

  llvm::LogicalResult split(mlir::func::FuncOp stage) {
    mlir::Block &body = stage.getBody().front();
    std::map<PhaseKey, int> partOf;
    for (mlir::Operation &op : body.without_terminator()) {
      std::optional<PhaseKey> key = phaseKey(&op);
      if (!key)
        return op.emitError("expected '")
               << op.getName() << "' to have '" << kPhaseAttr
               << "' forward, backward or update; run alpa-extract-stage first";
      partOf[*key] = 0;
    }
    std::vector<CutPart> parts;
    for (auto &[key, part] : partOf) {
      part = static_cast<int>(parts.size());
      parts.push_back(makePart(key));
    }
    FunctionCutter cutter(stage, parts,
                          [this](int number) { return valueNameWithinStage(this->stage, number); });
    for (mlir::Operation &op : body.without_terminator())
      cutter.place(&op, {isConstantLike(&op) ? Placement::Free : Placement::InPart,
                         partOf.at(*phaseKey(&op))});
    for (auto [i, value] : llvm::enumerate(body.back().getOperands())) {
      mlir::FailureOr<llvm::StringRef> name =
          BoundaryValue{stage, static_cast<unsigned>(i), /*isResult=*/true}.string(kValueAttr);
      if (mlir::failed(name))
        return mlir::failure();
      const bool isShare = static_cast<bool>(stage.getResultAttr(i, kAccumulateAttr));
      cutter.addResult(
          {value, name->str(), resultAttributes(stage, i), /*isReadByParts=*/true, isShare});
    }
    cutter.describeValues(describeSharding);
    if (mlir::failed(cutter.run()))
      return mlir::failure();
    // Of a single microbatch, the part is the sum.
    if (integerOf(stage->getAttr(kNumMicrobatchesAttr)).value_or(1) == 1)
      return mlir::success();
    for (auto function : getOperation().getOps<mlir::func::FuncOp>())
      if (function != stage && mlir::failed(addToSums(function)))
        return mlir::failure();
    return mlir::success();
  }

  /// What a phase has for sums over microbatches it adds to them itself: it takes each sum, last
  /// among its arguments, and returns it with its own part in it, in the same place.
  static llvm::LogicalResult addToSums(mlir::func::FuncOp function) {
    mlir::Operation &end = function.getBody().front().back();
    mlir::OpBuilder builder(&end);
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      auto combiner = function.getResultAttrOfType<mlir::StringAttr>(i, kAccumulateAttr);
      if (!combiner)
        continue;
      const ReductionKind kind = reductionNamed(combiner.getValue());
      if (kind == ReductionKind::None)
        return function.emitError("expected '") << kAccumulateAttr << "' on result " << i
                                                << " to be a way to combine, got " << combiner;
      mlir::Value part = end.getOperand(i);
      mlir::Attribute unreduced;
      if (mlir::Operation *source = part.getDefiningOp())
        unreduced = source->getDiscardableAttr(kUnreducedAttr);
      if (unreduced)
        function.setResultAttr(i, kUnreducedAttr, unreduced);
      mlir::NamedAttrList attributes;
      for (llvm::StringRef name :
           {kValueAttr, kAccumulateAttr, kShardingOfValueAttr, kUnreducedAttr})
        if (mlir::Attribute attribute = function.getResultAttr(i, name))
          attributes.set(name, attribute);
      if (mlir::failed(function.insertArgument(function.getNumArguments(), part.getType(),
                                               attributes.getDictionary(function.getContext()),
                                               part.getLoc())))
        return mlir::failure();
      mlir::Value before = function.getArguments().back();
      mlir::Value sum = StablehloBuilder(builder, part.getLoc()).combine(kind, before, part);
      if (unreduced) { // told of the part alone, XLA would reduce it and add that on every device
        mlir::Attribute sharding = function.getResultAttr(i, kShardingOfValueAttr);
        if (!sharding)
          return part.getDefiningOp()->emitError("expected an op with '")
                 << kUnreducedAttr << "' to say in '" << kResultShardingsAttr
                 << "' how its results lie; run alpa-choose-strategies first";
        sum.getDefiningOp()->setDiscardableAttr(kResultShardingsAttr,
                                                builder.getArrayAttr({sharding}));
        sum.getDefiningOp()->setDiscardableAttr(kUnreducedAttr, unreduced);
      }
      end.setOperand(i, sum);
    }
    return mlir::success();
  }

  CutPart makePart(PhaseKey key) {
    mlir::Builder builder(&getContext());
    auto [phase, round] = key;
    const std::string phaseName = name(phase).str();
    mlir::NamedAttrList attributes;
    attributes.set(kStageAttr, builder.getI64IntegerAttr(stage));
    attributes.set(kPhaseAttr, builder.getStringAttr(phaseName));
    if (phase == Phase::Update)
      attributes.set(kRoundAttr, builder.getI64IntegerAttr(round));
    return {phase == Phase::Update ? phaseName + std::to_string(round) : phaseName,
            attributes.getDictionary(&getContext()), builder.getDictionaryAttr({})};
  }

  /// State is to come back as it came in.
  static mlir::DictionaryAttr resultAttributes(mlir::func::FuncOp stage, unsigned result) {
    mlir::NamedAttrList attributes = stage.getResultAttrDict(result);
    for (unsigned argument = 0; argument < stage.getNumArguments(); ++argument)
      if (updatedBy(stage, argument) == result)
        if (mlir::Attribute sharding = stage.getArgAttr(argument, kShardingOfValueAttr))
          attributes.set(kShardingOfValueAttr, sharding);
    return attributes.getDictionary(stage.getContext());
  }

  /// How a value lies where its op leaves it, for the function that returns it and those that read
  /// it. Arguments of the stage have their sharding already, and results that are state.
  static void describeSharding(mlir::Value value, mlir::NamedAttrList &attributes) {
    attributes.erase(kStateAttr); // counts results of the stage
    auto result = llvm::dyn_cast<mlir::OpResult>(value);
    if (!result || attributes.get(kShardingOfValueAttr))
      return;
    auto shardings = result.getOwner()->getAttrOfType<mlir::ArrayAttr>(kResultShardingsAttr);
    if (shardings && result.getResultNumber() < shardings.size())
      attributes.set(kShardingOfValueAttr, shardings[result.getResultNumber()]);
  }
};

} // namespace
} // namespace alpa
