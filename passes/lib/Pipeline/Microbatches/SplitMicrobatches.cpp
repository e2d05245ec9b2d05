// alpa-split-microbatches: one step becomes @prologue, @microbatch (run m times) and @update; @main
// calls them and computes what it did before.

#include "BatchShrinker.h"
#include "Normalize/Normalize.h"
#include "SplitChecks.h"
#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/Passes.h"
#include "mlir/IR/SymbolTable.h"

namespace alpa {
#define GEN_PASS_DEF_SPLITMICROBATCHES
#include "alpa/Passes.h.inc"
namespace {

using Values = llvm::SmallVector<mlir::Value>;

/// A function that is being made from a part of @main. Its arguments come in groups; unused ones
/// are dropped in the end, and `operands` says which values of the caller the others are.
struct Part {
  Part(mlir::ModuleOp module, llvm::StringRef name, mlir::Location loc) {
    mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(module.getBody());
    function = mlir::func::FuncOp::create(builder, loc, name, builder.getFunctionType({}, {}));
    function.setPrivate();
    block = function.addEntryBlock();
  }

  /// Adds an argument that stands for `operand` in the caller.
  mlir::BlockArgument addArgument(mlir::Type type, mlir::Location loc,
                                  mlir::DictionaryAttr attributes) {
    argumentAttributes.push_back(attributes);
    return block->addArgument(type, loc);
  }

  /// Ends the function, drops what it does not need; returns the numbers of the arguments it kept.
  llvm::SmallVector<unsigned> finish(const Values &results,
                                     llvm::ArrayRef<mlir::DictionaryAttr> resultAttributes) {
    mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(block);
    mlir::func::ReturnOp::create(builder, function.getLoc(), results);
    eraseDead(function.getBody());
    llvm::SmallVector<unsigned> kept;
    llvm::SmallVector<mlir::Attribute> keptAttributes;
    llvm::BitVector unused(block->getNumArguments());
    for (mlir::BlockArgument argument : block->getArguments())
      if (argument.use_empty()) {
        unused.set(argument.getArgNumber());
      } else {
        kept.push_back(argument.getArgNumber());
        keptAttributes.push_back(argumentAttributes[argument.getArgNumber()]);
      }
    block->eraseArguments(unused);
    function.setFunctionType(
        builder.getFunctionType(block->getArgumentTypes(), mlir::ValueRange(results).getTypes()));
    function.setArgAttrsAttr(builder.getArrayAttr(keptAttributes));
    function.setResAttrsAttr(builder.getArrayAttr(
        llvm::SmallVector<mlir::Attribute>(resultAttributes.begin(), resultAttributes.end())));
    return kept;
  }

  mlir::func::FuncOp function;
  mlir::Block *block;
  llvm::SmallVector<mlir::DictionaryAttr> argumentAttributes;
};

Values call(mlir::OpBuilder &builder, mlir::func::FuncOp function, const Values &all,
            llvm::ArrayRef<unsigned> kept) {
  Values operands;
  for (unsigned number : kept)
    operands.push_back(all[number]);
  auto made = mlir::func::CallOp::create(builder, function.getLoc(), function, operands);
  return Values(made.getResults());
}

class Splitter {
public:
  Splitter(const OpGraph &graph, const BatchDims &batch, const TrainingPhases &training,
           int64_t numMicrobatches)
      : graph(graph), batch(batch), training(training), numMicrobatches(numMicrobatches),
        main(graph.function()), module(main->getParentOfType<mlir::ModuleOp>()),
        builder(main.getContext()) {
    mlir::Operation &terminator = main.getBody().front().back();
    for (auto [number, value] : llvm::enumerate(terminator.getOperands()))
      if (batch.carries(value))
        perExample.push_back(number);
    accumulated = training.frontier;
    // With local statistics, what outlives the microbatch is the exact sum of the whole batch.
    for (const MixingOp &mixing : training.mixing)
      for (mlir::Value value : mixing.op->getResults())
        accumulated.push_back({value, ReductionKind::Add, {}});
  }

  llvm::LogicalResult run() {
    if (!training.prologue.empty() && mlir::failed(makePrologue()))
      return mlir::failure();
    if (mlir::failed(makeMicrobatch()))
      return mlir::failure();
    if (mlir::failed(makeUpdate()))
      return mlir::failure();
    rewriteMain();
    return mlir::success();
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

  /// The argument of @main with its number, so that plans can name it.
  mlir::DictionaryAttr argumentAttributes(unsigned number) {
    mlir::NamedAttrList attributes = main.getArgAttrDict(number);
    // Who is given up for which result is for whoever calls the parts to say.
    if (attributes.erase("tf.aliasing_output"))
      attributes.set("jax.buffer_donor", builder.getBoolAttr(true));
    attributes.set(kArgumentAttr, builder.getI64IntegerAttr(number));
    attributes.set(kRoleAttr, builder.getStringAttr(name(training.roles[number])));
    return attributes.getDictionary(builder.getContext());
  }

  bool belongs(int index, llvm::ArrayRef<Phase> phases) const {
    return isRemovable(graph[index].op) || llvm::is_contained(phases, training.phases[index]);
  }

  /// Clones the ops whose operands are all there.
  void cloneKnown(mlir::IRMapping &mapping, mlir::Block *block, llvm::ArrayRef<Phase> phases) {
    mlir::OpBuilder inner = mlir::OpBuilder::atBlockEnd(block);
    for (mlir::Operation &op : main.getBody().front().without_terminator()) {
      bool isThere =
          llvm::any_of(op.getResults(), [&](mlir::Value value) { return mapping.contains(value); });
      bool isKnown = true;
      op.walk([&](mlir::Operation *nested) {
        for (mlir::Value operand : nested->getOperands())
          if (operand.getParentRegion() == &main.getBody() && !mapping.contains(operand))
            isKnown = false;
      });
      if (isThere || !isKnown || !belongs(graph.indexOf(&op), phases))
        continue;
      mlir::Operation *copy = inner.clone(op, mapping);
      copy->walk([](mlir::Operation *nested) { nested->removeAttr(kAccumulateAttr); });
    }
  }

  llvm::LogicalResult makePrologue() {
    Part part(module, "prologue", main.getLoc());
    mlir::IRMapping mapping;
    for (mlir::BlockArgument argument : main.getArguments())
      mapping.map(argument, part.addArgument(argument.getType(), argument.getLoc(),
                                             argumentAttributes(argument.getArgNumber())));
    cloneKnown(mapping, part.block, {Phase::Prologue});
    Values results;
    llvm::SmallVector<mlir::DictionaryAttr> attributes;
    for (auto [number, value] : llvm::enumerate(training.prologue)) {
      results.push_back(mapping.lookup(value));
      attributes.push_back(numbered(kPrologueAttr, number));
    }
    keptByPrologue = part.finish(results, attributes);
    prologue = part.function;
    return mlir::success();
  }

  llvm::LogicalResult makeMicrobatch() {
    Part part(module, "microbatch", main.getLoc());
    mlir::Location loc = main.getLoc();
    mlir::Value index = part.addArgument(mlir::RankedTensorType::get({}, builder.getI32Type()), loc,
                                         numbered(kMicrobatchAttr, numMicrobatches));
    BatchShrinker shrinker(batch, numMicrobatches, index);
    for (mlir::BlockArgument argument : main.getArguments())
      shrinker.mapping.map(argument, part.addArgument(shrinker.shrunk(argument), argument.getLoc(),
                                                      argumentAttributes(argument.getArgNumber())));
    for (auto [number, value] : llvm::enumerate(training.prologue))
      shrinker.mapping.map(value, part.addArgument(value.getType(), value.getLoc(),
                                                   numbered(kPrologueAttr, number)));
    Values accumulators;
    for (auto [number, frontier] : llvm::enumerate(accumulated))
      accumulators.push_back(part.addArgument(frontier.value.getType(), frontier.value.getLoc(),
                                              numbered(kAccumulatorAttr, number)));

    mlir::OpBuilder inner = mlir::OpBuilder::atBlockEnd(part.block);
    llvm::DenseMap<mlir::Value, mlir::Value> contributions;
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
      if (llvm::any_of(training.mixing, [&](const MixingOp &m) { return m.op == &op; }))
        scaleStatistics(&op, shrinker.mapping, inner);
    }

    Values results;
    llvm::SmallVector<mlir::DictionaryAttr> attributes;
    for (auto [number, frontier] : llvm::enumerate(accumulated)) {
      mlir::Value contribution = contributions.lookup(frontier.value);
      mlir::Operation *source = contribution.getDefiningOp();
      StablehloBuilder make(inner, frontier.value.getLoc());
      mlir::Value sum = make.combine(frontier.combine, accumulators[number], contribution);
      for (llvm::StringRef name : {kPhaseAttr, kGradientOfAttr})
        if (mlir::Attribute value = source->getDiscardableAttr(name))
          sum.getDefiningOp()->setDiscardableAttr(name, value);
      results.push_back(sum);
      attributes.push_back(with(numbered(kAccumulatorAttr, number), kAccumulateAttr,
                                builder.getStringAttr(name(frontier.combine))));
    }
    for (size_t number : perExample) {
      results.push_back(shrinker.mapping.lookup(terminator().getOperand(number)));
      BatchDim dim = dimOf(number);
      attributes.push_back(with(numbered(kResultAttr, number), kBatchDimAttr,
                                builder.getDenseI64ArrayAttr({dim.dim, dim.size, dim.minor})));
    }
    keptByMicrobatch = part.finish(results, attributes);
    microbatch = part.function;
    microbatch->setAttr(kNumMicrobatchesAttr, builder.getI64IntegerAttr(numMicrobatches));
    return mlir::success();
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
    Part part(module, "update", main.getLoc());
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
    for (auto [number, frontier] : llvm::enumerate(accumulated))
      mapping.map(frontier.value,
                  part.addArgument(frontier.value.getType(), frontier.value.getLoc(),
                                   numbered(kAccumulatorAttr, number)));
    cloneKnown(mapping, part.block, {Phase::Update});
    Values results;
    llvm::SmallVector<mlir::DictionaryAttr> attributes;
    for (auto [number, value] : llvm::enumerate(terminator().getOperands()))
      if (!llvm::is_contained(perExample, number)) {
        if (!mapping.contains(value))
          return main.emitError("expected result ")
                 << number << " to follow from sums over the batch and from what is no batch";
        results.push_back(mapping.lookup(value));
        attributes.push_back(numbered(kResultAttr, number));
      }
    keptByUpdate = part.finish(results, attributes);
    update = part.function;
    return mlir::success();
  }

  /// Calls the parts in place of the ops.
  void rewriteMain() {
    Values arguments(main.getArguments());
    Values returned(terminator().getOperands());
    mlir::Block &old = main.getBody().front();
    mlir::Operation *end = &old.back();
    builder.setInsertionPoint(end);
    mlir::Location loc = main.getLoc();
    StablehloBuilder make(builder, loc);

    Values beforehand;
    if (prologue)
      beforehand = call(builder, prologue, arguments, keptByPrologue);
    Values carried;
    for (const FrontierValue &frontier : accumulated) {
      auto type = llvm::cast<mlir::RankedTensorType>(frontier.value.getType());
      carried.push_back(make.splat(type, identityElement(frontier.combine, type.getElementType())));
    }
    for (size_t number : perExample) {
      auto type = llvm::cast<mlir::RankedTensorType>(returned[number].getType());
      carried.push_back(
          make.splat(type, identityElement(type.getElementType().isInteger(1) ? ReductionKind::Or
                                                                              : ReductionKind::Add,
                                           type.getElementType())));
    }
    carried = runMicrobatches(make, arguments, beforehand, carried);

    Values operands = arguments;
    operands.append(beforehand);
    operands.append(carried.begin(), carried.begin() + accumulated.size());
    Values updated = call(builder, update, operands, keptByUpdate);
    auto nextUpdated = updated.begin();
    auto nextPerExample = carried.begin() + accumulated.size();
    for (unsigned number = 0; number < returned.size(); ++number)
      end->setOperand(number,
                      llvm::is_contained(perExample, number) ? *nextPerExample++ : *nextUpdated++);
    eraseDead(main.getBody());
  }

  Values runMicrobatches(StablehloBuilder &make, const Values &arguments, const Values &beforehand,
                         const Values &carried) {
    return make.countedLoop(numMicrobatches, carried, [&](mlir::Value index, mlir::ValueRange now) {
      Values operands = {index};
      for (mlir::Value argument : arguments)
        operands.push_back(batch.carries(argument)
                               ? BatchShrinker::slice(argument, *batch.of(argument),
                                                      numMicrobatches, index, builder)
                               : argument);
      operands.append(beforehand);
      operands.append(now.begin(), now.begin() + accumulated.size());
      Values results = call(builder, microbatch, operands, keptByMicrobatch);
      for (auto [i, number] : llvm::enumerate(perExample)) {
        mlir::Value &result = results[accumulated.size() + i];
        result = BatchShrinker::place(now[accumulated.size() + i], result, dimOf(number),
                                      numMicrobatches, index, builder);
      }
      return results;
    });
  }

  BatchDim dimOf(size_t result) { return *batch.of(terminator().getOperand(result)); }

  const OpGraph &graph;
  const BatchDims &batch;
  const TrainingPhases &training;
  int64_t numMicrobatches;
  mlir::func::FuncOp main, prologue, microbatch, update;
  mlir::ModuleOp module;
  mlir::OpBuilder builder;
  std::vector<FrontierValue> accumulated;
  llvm::SmallVector<size_t> perExample; ///< results of @main with a value per example
  llvm::SmallVector<unsigned> keptByPrologue, keptByMicrobatch, keptByUpdate;
};

struct SplitMicrobatches : impl::SplitMicrobatchesBase<SplitMicrobatches> {
  using SplitMicrobatchesBase::SplitMicrobatchesBase;

  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    mlir::FailureOr<StepAnalysis> step = StepAnalysis::of(getOperation());
    if (mlir::failed(step))
      return signalPassFailure();
    const auto &[graph, batch] = *step;
    TrainingPhases training = trainingPhases(graph, batch);
    if (mlir::failed(
            checkSplittable(graph, batch, training, numMicrobatches, allowLocalStatistics)) ||
        mlir::failed(Splitter(graph, batch, training, numMicrobatches).run()))
      signalPassFailure();
  }
};

} // namespace
} // namespace alpa
