// @prologue, @microbatch and @update from the phases of the ops; see StepParts.h.

#include "BatchShrinker.h"
#include "StepParts.h"
#include "WidenPart.h"
#include "alpa/IR/Attributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

class PartMaker {
public:
  PartMaker(const OpGraph &graph, const BatchDims &batch, const TrainingPhases &training,
            int64_t numMicrobatches)
      : graph(graph), batch(batch), training(training), numMicrobatches(numMicrobatches),
        main(graph.function()), module(main->getParentOfType<mlir::ModuleOp>()),
        builder(main.getContext()) {
    mlir::Operation &terminator = main.getBody().front().back();
    for (auto [number, value] : llvm::enumerate(terminator.getOperands()))
      if (batch.carries(value) && !training.meetings.after.contains(value.getDefiningOp()))
        parts.perExample.push_back(number);
    parts.accumulated = training.frontier;
    // With local statistics, what outlives the microbatch is the exact sum of the whole batch.
    for (const MixingOp &mixing : training.meetings.mixing)
      for (mlir::Value value : mixing.op->getResults())
        if (isReadByUpdate(value))
          parts.accumulated.push_back({value, additionOf(value.getType()), {}});
    if (numMicrobatches == 1)
      for (FrontierValue &frontier : parts.accumulated) // added to nothing
        frontier.combine = additionOf(frontier.value.getType());
  }

  mlir::FailureOr<StepParts> make() {
    if (!training.prologue.empty())
      makePrologue();
    if (mlir::failed(makeMicrobatch()) || mlir::failed(makeUpdate()))
      return mlir::failure();
    return std::move(parts);
  }

private:
  mlir::Operation &terminator() { return main.getBody().front().back(); }

  mlir::DictionaryAttr numbered(llvm::StringRef name, size_t number) {
    return builder.getDictionaryAttr(
        builder.getNamedAttr(name, builder.getI64IntegerAttr(static_cast<int64_t>(number))));
  }

  mlir::DictionaryAttr with(mlir::DictionaryAttr attributes, llvm::StringRef name,
                            mlir::Attribute value) {
    mlir::NamedAttrList list(attributes);
    list.set(name, value);
    return list.getDictionary(builder.getContext());
  }

  mlir::Attribute attributeOf(const BatchDim &dim) {
    return builder.getDenseI64ArrayAttr({dim.dim, dim.size, dim.minor});
  }

  /// The argument of @main with its number, so that plans can name it.
  mlir::DictionaryAttr argumentAttributes(unsigned number) {
    mlir::NamedAttrList attributes = main.getArgAttrDict(number);
    // Who is given up for which result is for whoever calls the parts to say.
    if (attributes.erase("tf.aliasing_output"))
      attributes.set("jax.buffer_donor", builder.getBoolAttr(true));
    attributes.erase(kGradientAttr); // a part does not return it
    attributes.set(kArgumentAttr, builder.getI64IntegerAttr(number));
    attributes.set(kRoleAttr, builder.getStringAttr(name(training.roles[number])));
    return attributes.getDictionary(builder.getContext());
  }

  bool belongs(int index, Phase phase) const {
    return isRemovable(graph[index].op) || training.phases[index] == phase;
  }

  /// Also through ops without examples, of which the update has a copy.
  bool isReadByUpdate(mlir::Value value) {
    llvm::SetVector<mlir::Value> reached;
    if (value.getParentRegion() == &main.getBody())
      reached.insert(value);
    for (size_t i = 0; i < reached.size(); ++i)
      for (mlir::Operation *user : reached[i].getUsers()) {
        mlir::Operation *outer = main.getBody().front().findAncestorOpInBlock(*user);
        if (outer == &terminator() || training.phases[graph.indexOf(outer)] == Phase::Update)
          return true;
        if (!batch.touches(outer))
          reached.insert(outer->result_begin(), outer->result_end());
      }
    return false;
  }

  /// Of a sum over examples that starts from anything but the neutral element, its place among the
  /// operands: microbatches start from that, and the update combines it with what it starts from.
  std::optional<unsigned> startOf(const FrontierValue &frontier) const {
    mlir::Operation *op = frontier.value.getDefiningOp();
    if (!op || frontier.isJoined || numMicrobatches == 1 || op->getNumResults() != 1 ||
        (kindOf(op) != OpKind::Reduce && kindOf(op) != OpKind::Scatter))
      return std::nullopt;
    unsigned place = kindOf(op) == OpKind::Reduce ? 1 : 0;
    mlir::Type element = mlir::getElementTypeOrSelf(frontier.value.getType());
    bool isNeutral =
        splatElement(op->getOperand(place)) == identityElement(frontier.combine, element);
    return isNeutral ? std::nullopt : std::optional(place);
  }

  /// Clones the ops before `end` whose operands are all there.
  void cloneKnown(mlir::IRMapping &mapping, mlir::Block *block, Phase phase,
                  mlir::Operation *end = nullptr) {
    mlir::OpBuilder inner = mlir::OpBuilder::atBlockEnd(block);
    for (mlir::Operation &op : main.getBody().front().without_terminator()) {
      if (&op == end)
        return;
      bool isThere =
          llvm::any_of(op.getResults(), [&](mlir::Value value) { return mapping.contains(value); });
      bool isKnown = true;
      op.walk([&](mlir::Operation *nested) {
        for (mlir::Value operand : nested->getOperands())
          if (operand.getParentRegion() == &main.getBody() && !mapping.contains(operand))
            isKnown = false;
      });
      if (isThere || !isKnown || !belongs(graph.indexOf(&op), phase))
        continue;
      // What microbatches compute as well is a copy of the part's own.
      inner.clone(op, mapping)->walk([&](mlir::Operation *copy) {
        copy->removeAttr(kAccumulateAttr);
        if (copy->hasAttr(kPhaseAttr))
          copy->setAttr(kPhaseAttr, builder.getStringAttr(name(phase)));
      });
    }
  }

  void makePrologue() {
    PartFunctionBuilder part(module, "prologue", main.getLoc());
    mlir::IRMapping mapping;
    for (mlir::BlockArgument argument : main.getArguments())
      mapping.map(argument, part.addArgument(argument.getType(), argument.getLoc(),
                                             argumentAttributes(argument.getArgNumber())));
    cloneKnown(mapping, part.block, Phase::Prologue);
    Values results;
    llvm::SmallVector<mlir::DictionaryAttr> attributes;
    for (auto [number, value] : llvm::enumerate(training.prologue)) {
      results.push_back(mapping.lookup(value));
      attributes.push_back(numbered(kPrologueAttr, number));
    }
    parts.prologue = part.finish(results, attributes);
  }

  llvm::LogicalResult makeMicrobatch() {
    PartFunctionBuilder part(module, "microbatch", main.getLoc());
    mlir::Value index = part.addArgument(mlir::RankedTensorType::get({}, builder.getI32Type()),
                                         main.getLoc(), numbered(kMicrobatchAttr, numMicrobatches));
    BatchShrinker shrinker(batch, numMicrobatches, index);
    for (mlir::BlockArgument argument : main.getArguments()) {
      mlir::DictionaryAttr attributes = argumentAttributes(argument.getArgNumber());
      if (std::optional<BatchDim> dim = batch.of(argument))
        attributes = with(attributes, kBatchDimAttr, attributeOf(*dim));
      shrinker.mapping.map(
          argument, part.addArgument(shrinker.resized(argument), argument.getLoc(), attributes));
    }
    mlir::OpBuilder inner = mlir::OpBuilder::atBlockEnd(part.block);
    for (auto [number, value] : llvm::enumerate(training.prologue)) {
      mlir::Value whole =
          part.addArgument(value.getType(), value.getLoc(), numbered(kPrologueAttr, number));
      std::optional<BatchDim> dim = batch.of(value);
      shrinker.mapping.map(
          value, dim ? BatchShrinker::slice(whole, *dim, numMicrobatches, index, inner) : whole);
    }
    Values accumulators;
    for (auto [number, frontier] : llvm::enumerate(parts.accumulated))
      accumulators.push_back(part.addArgument(frontier.sumType(), frontier.value.getLoc(),
                                              numbered(kAccumulatorAttr, number)));
    if (mlir::failed(cloneForExamples(shrinker, inner)))
      return mlir::failure();

    Values results;
    llvm::SmallVector<mlir::DictionaryAttr> attributes;
    for (auto [number, frontier] : llvm::enumerate(parts.accumulated)) {
      results.push_back(accumulated(frontier, accumulators[number], shrinker, index, inner));
      attributes.push_back(with(numbered(kAccumulatorAttr, number), kAccumulateAttr,
                                builder.getStringAttr(name(frontier.combine))));
    }
    for (size_t number : parts.perExample) {
      mlir::Value value = terminator().getOperand(number);
      results.push_back(shrinker.mapping.lookup(value));
      attributes.push_back(
          with(numbered(kResultAttr, number), kBatchDimAttr, attributeOf(*batch.of(value))));
    }
    parts.microbatch = part.finish(results, attributes);
    parts.microbatch.function->setAttr(kNumMicrobatchesAttr,
                                       builder.getI64IntegerAttr(numMicrobatches));
    return mlir::success();
  }

  /// The ops of forward and backward.
  llvm::LogicalResult cloneForExamples(BatchShrinker &shrinker, mlir::OpBuilder &inner) {
    for (mlir::Operation &op : main.getBody().front().without_terminator()) {
      Phase phase = training.phases[graph.indexOf(&op)];
      bool isPrologue = llvm::any_of(
          op.getResults(), [&](mlir::Value value) { return shrinker.mapping.contains(value); });
      if (isPrologue || (phase != Phase::Forward && phase != Phase::Backward))
        continue;
      if (mlir::failed(shrinker.clone(&op, inner)))
        return mlir::failure();
      for (mlir::Value value : op.getResults())
        contributions[value] = shrinker.mapping.lookup(value);
      if (numMicrobatches > 1 && training.meetings.isMixing(&op))
        scaleStatistics(&op, shrinker.mapping, inner);
    }
    for (const FrontierValue &frontier : parts.accumulated)
      startNeutral(frontier);
    return mlir::success();
  }

  /// What was accumulated so far, with what the microbatch has.
  mlir::Value accumulated(const FrontierValue &frontier, mlir::Value before,
                          BatchShrinker &shrinker, mlir::Value index, mlir::OpBuilder &inner) {
    mlir::Value contribution = contributions.lookup(frontier.value);
    if (!contribution) // an argument or of the prologue
      contribution = shrinker.mapping.lookup(frontier.value);
    mlir::Operation *source = contribution.getDefiningOp();
    StablehloBuilder make(inner, frontier.value.getLoc());
    if (frontier.isJoined)
      contribution = amongZeros(make, frontier.value, contribution, index, inner);
    auto mark = [&](mlir::Operation *op) { markAsSource(op, source); };
    mlir::Value wide = widenPart(make, contribution, frontier.sumType(), mark);
    mlir::Value sum = make.combine(frontier.combine, before, wide);
    mark(sum.getDefiningOp());
    return sum;
  }

  /// It belongs where `source` does, which makes the part of a microbatch; null: an argument.
  void markAsSource(mlir::Operation *op, mlir::Operation *source) {
    op->setDiscardableAttr(kPhaseAttr, builder.getStringAttr("forward"));
    for (llvm::StringRef name : {kPhaseAttr, kGradientOfAttr})
      if (mlir::Attribute value = source ? source->getDiscardableAttr(name) : mlir::Attribute())
        op->setDiscardableAttr(name, value);
  }

  /// The examples of the microbatch among those of the whole batch, the others zero.
  mlir::Value amongZeros(StablehloBuilder &make, mlir::Value whole, mlir::Value part,
                         mlir::Value index, mlir::OpBuilder &inner) {
    auto type = llvm::cast<mlir::RankedTensorType>(whole.getType());
    mlir::Attribute zero = identityElement(additionOf(type), type.getElementType());
    return BatchShrinker::place(make.splat(type, zero), part, *batch.of(whole), numMicrobatches,
                                index, inner);
  }

  /// Of microbatches, only the update adds what a sum starts from.
  void startNeutral(const FrontierValue &frontier) {
    std::optional<unsigned> place = startOf(frontier);
    mlir::Value contribution = contributions.lookup(frontier.value);
    if (!place || !contribution)
      return;
    mlir::Operation *copy = contribution.getDefiningOp();
    auto type = llvm::cast<mlir::RankedTensorType>(copy->getOperand(*place).getType());
    mlir::OpBuilder before(copy);
    StablehloBuilder make(before, copy->getLoc());
    copy->setOperand(*place,
                     make.splat(type, identityElement(frontier.combine, type.getElementType())));
  }

  /// Constants such as 1 / batch size stay those of the whole batch: a sum over a microbatch counts
  /// m times, so that the mean made of it is the microbatch's own.
  void scaleStatistics(mlir::Operation *op, mlir::IRMapping &mapping, mlir::OpBuilder &inner) {
    for (mlir::Value value : op->getResults()) {
      auto type = llvm::cast<mlir::RankedTensorType>(value.getType());
      StablehloBuilder make(inner, op->getLoc());
      mlir::Value factor = make.convert(make.integer(numMicrobatches), type.getElementType());
      mlir::Value scaled = make.multiply(mapping.lookup(value), make.broadcast(factor, type));
      mapping.map(value, scaled);
      for (mlir::Operation *made = scaled.getDefiningOp(); !made->hasAttr(kOpIdAttr);
           made = made->getPrevNode())
        made->setDiscardableAttr(kPhaseAttr, op->getAttr(kPhaseAttr)
                                                 ? op->getAttr(kPhaseAttr)
                                                 : builder.getStringAttr(name(Phase::Forward)));
    }
  }

  llvm::LogicalResult makeUpdate() {
    PartFunctionBuilder part(module, "update", main.getLoc());
    mlir::IRMapping mapping;
    for (mlir::BlockArgument argument : main.getArguments()) {
      mlir::Value stands = part.addArgument(argument.getType(), argument.getLoc(),
                                            argumentAttributes(argument.getArgNumber()));
      if (!batch.carries(argument))
        mapping.map(argument, stands);
    }
    for (auto [number, value] : llvm::enumerate(training.prologue))
      mapping.map(value, part.addArgument(value.getType(), value.getLoc(),
                                          numbered(kPrologueAttr, number)));
    for (auto [number, frontier] : llvm::enumerate(parts.accumulated))
      mapSum(frontier,
             part.addArgument(frontier.sumType(), frontier.value.getLoc(),
                              numbered(kAccumulatorAttr, number)),
             part, mapping);
    if (mlir::failed(meetStarts(mapping, part)))
      return mlir::failure();
    cloneKnown(mapping, part.block, Phase::Update);
    Values results;
    llvm::SmallVector<mlir::DictionaryAttr> attributes;
    for (auto [number, value] : llvm::enumerate(terminator().getOperands()))
      if (!llvm::is_contained(parts.perExample, number)) {
        if (!mapping.contains(value))
          return main.emitError("expected result ")
                 << number << " to follow from sums over the batch and from what is no batch";
        results.push_back(mapping.lookup(value));
        attributes.push_back(numbered(kResultAttr, number));
      }
    parts.update = part.finish(results, attributes);
    return mlir::success();
  }

  /// What the update knows of a sum over the microbatches. Where that is wider than the step has
  /// it, it is rounded once; conversions that widen it anyway take it as it is.
  void mapSum(const FrontierValue &frontier, mlir::Value sum, PartFunctionBuilder &part,
              mlir::IRMapping &mapping) {
    mlir::OpBuilder inner = mlir::OpBuilder::atBlockEnd(part.block);
    mapping.map(frontier.value,
                StablehloBuilder(inner, frontier.value.getLoc())
                    .convert(sum, mlir::getElementTypeOrSelf(frontier.value.getType())));
    if (sum.getType() == frontier.value.getType() || startOf(frontier))
      return;
    for (mlir::Operation *user : frontier.value.getUsers())
      if (isConversion(user) && user->getBlock() == &main.getBody().front() &&
          user->getResult(0).getType() == sum.getType() &&
          belongs(graph.indexOf(user), Phase::Update))
        mapping.map(user->getResult(0), sum);
  }

  /// Sums that do not start from the neutral element meet what they start from, once.
  llvm::LogicalResult meetStarts(mlir::IRMapping &mapping, PartFunctionBuilder &part) {
    for (const FrontierValue &frontier : parts.accumulated) {
      std::optional<unsigned> place = startOf(frontier);
      if (!place)
        continue;
      mlir::Operation *op = frontier.value.getDefiningOp();
      mlir::Value sum = mapping.lookup(frontier.value), start = op->getOperand(*place);
      mapping.erase(frontier.value);
      cloneKnown(mapping, part.block, Phase::Update, op);
      mlir::OpBuilder inner = mlir::OpBuilder::atBlockEnd(part.block);
      StablehloBuilder make(inner, op->getLoc());
      mlir::Value known = mapping.lookupOrNull(start);
      if (!known)
        return op->emitError(
            "expected a sum over examples to start from what the update knows, got "
            "the result of an op with effects");
      auto type = llvm::cast<mlir::RankedTensorType>(sum.getType());
      if (known.getType() != type)
        known = make.broadcast(known, type);
      mapping.map(frontier.value, make.combine(frontier.combine, known, sum));
    }
    return mlir::success();
  }

  const OpGraph &graph;
  const BatchDims &batch;
  const TrainingPhases &training;
  int64_t numMicrobatches;
  mlir::func::FuncOp main;
  mlir::ModuleOp module;
  mlir::OpBuilder builder;
  llvm::DenseMap<mlir::Value, mlir::Value> contributions; ///< before statistics are scaled
  StepParts parts;
};

} // namespace

mlir::FailureOr<StepParts> makeStepParts(const OpGraph &graph, const BatchDims &batch,
                                         const TrainingPhases &training, int64_t numMicrobatches) {
  return PartMaker(graph, batch, training, numMicrobatches).make();
}

} // namespace alpa
