// Builds the sharding graph: walks the function in program order, into loops and branches, and
// gives every argument, op and carried value its strategies, live interval and memory use.

#include "alpa/Analysis/Liveness.h"
#include "alpa/Analysis/OpGraph.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/OpRules.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/ShardyOps.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "alpa/Sharding/FixedShardings.h"
#include "alpa/Sharding/Partitioner.h"
#include "alpa/Sharding/ShardingGraph.h"
#include "alpa/Sharding/UnreducedSums.h"

namespace alpa {

class GraphBuilder {
public:
  GraphBuilder(mlir::FunctionOpInterface func, const ShardingTarget &target) : liveness(func) {
    graph.func = func;
    graph.shardingTarget = target;
    graph.tables = std::make_unique<ReshardTables>(target.mesh, target.device);
  }

  mlir::FailureOr<ShardingGraph> run();

private:
  /// Where a value comes from; values without a vertex (constants) are free in any sharding.
  struct Source {
    int vertex;
    unsigned result;
  };

  mlir::LogicalResult addArguments();
  mlir::LogicalResult visit(mlir::Block &block, double multiplicity);
  mlir::LogicalResult addOp(mlir::Operation *op, double multiplicity);
  mlir::LogicalResult addLoop(mlir::Operation *op, double multiplicity);
  mlir::LogicalResult addBranch(mlir::Operation *op, double multiplicity);
  void addBarrier(mlir::Operation *op, double multiplicity);
  void addReturn(mlir::Operation *op);

  int addCarried(mlir::Operation *op, unsigned index, double multiplicity);
  int addVertex(Vertex vertex);
  mlir::ValueRange valuesOf(const Vertex &vertex);
  void addUsages(Vertex &vertex);
  void addFlow(mlir::OpOperand &use, int vertex, unsigned operand);
  Flow &flowOf(mlir::Value value, const Source &source, mlir::Operation *reader);
  Reader *findKnown(Flow &flow, const Reader &reader) const;
  void setSource(mlir::Value value, int vertex, unsigned result) {
    sources[value] = {vertex, result};
  }
  std::vector<Strategy> anySharding(mlir::Type type) const;
  OpCost costOf(mlir::Operation *op) const;
  double runsInStep(mlir::Operation *op, double multiplicity);
  int64_t numCopies(const Vertex &vertex);

  ShardingGraph graph;
  llvm::DenseMap<mlir::Value, Source> sources;
  llvm::DenseMap<mlir::Block *, double> runs; ///< of blocks, in one call
  /// By value, phase and round.
  std::map<std::tuple<void *, llvm::StringRef, int64_t>, size_t> flowNumbers;
  const Liveness liveness;
};

mlir::FailureOr<ShardingGraph> GraphBuilder::run() {
  if (mlir::failed(addArguments()) ||
      mlir::failed(visit(graph.func.getFunctionBody().front(), /*multiplicity=*/1)))
    return mlir::failure();
  if (mlir::failed(restrictStrategies(graph.shardingTarget, graph.func, graph.allVertices)))
    return mlir::failure();
  for (Vertex &vertex : graph.allVertices)
    addUsages(vertex);
  if (mlir::failed(graph.checkPrices()) || mlir::failed(graph.checkTableBytes()))
    return mlir::failure();
  return std::move(graph);
}

std::vector<Strategy> GraphBuilder::anySharding(mlir::Type type) const {
  std::vector<Strategy> strategies;
  const std::vector<int64_t> shape = shapeOf(type);
  for (const Sharding &sharding : allShardings(shape, graph.shardingTarget.mesh, false)) {
    Strategy strategy;
    strategy.name = sharding.str(static_cast<int>(shape.size()), graph.shardingTarget.mesh);
    strategy.results.push_back(sharding);
    strategies.push_back(std::move(strategy));
  }
  return strategies;
}

OpCost GraphBuilder::costOf(mlir::Operation *op) const {
  OpCost cost;
  cost.flops = flops(op);
  const Traffic traffic = trafficOf(op);
  // What an op that only maps elements reads was most likely written by the same fusion.
  const bool isMap = isElementwise(op) || kindOf(op) == OpKind::BroadcastInDim;
  cost.memoryBytes = static_cast<double>((isMap ? 0 : traffic.read) +
                                         (liveness.isFusedAway(op) ? 0 : traffic.written));
  cost.filledBytes = static_cast<double>(traffic.filled);
  cost.elementType = op->getNumOperands() ? elementTypeName(op->getOperand(0).getType()) : "f32";
  cost.opClass = costClass(op);
  return cost;
}

int GraphBuilder::addVertex(Vertex vertex) {
  graph.allVertices.push_back(std::move(vertex));
  return static_cast<int>(graph.allVertices.size()) - 1;
}

mlir::ValueRange GraphBuilder::valuesOf(const Vertex &vertex) {
  switch (vertex.kind) {
  case Vertex::Kind::Argument:
    return graph.func.getArguments().slice(vertex.index, 1);
  case Vertex::Kind::Op:
    return vertex.op->getResults();
  case Vertex::Kind::Carried:
    return vertex.op->getResults().slice(vertex.index, 1);
  }
  return {};
}

/// What a stage's forward leaves for its backward, and what it was given from elsewhere, it holds
/// for every microbatch in flight. What only the backward is given arrives when it is read.
int64_t GraphBuilder::numCopies(const Vertex &vertex) {
  const int64_t inFlight = graph.shardingTarget.numInFlight;
  if (inFlight == 1)
    return 1;
  const bool isOnce = vertex.kind == Vertex::Kind::Argument
                          ? graph.func.getArgAttr(vertex.index, kArgumentAttr) &&
                                !graph.func.getArgAttr(vertex.index, kBatchAttr)
                          : phaseOf(vertex.op) != Phase::Forward;
  auto isRead = [](mlir::Value value, Phase phase) {
    return llvm::any_of(value.getUsers(),
                        [&](mlir::Operation *user) { return phaseOf(user) == phase; });
  };
  auto isKept = [&](mlir::Value value) {
    return isRead(value, Phase::Backward) &&
           (mlir::isa<mlir::OpResult>(value) || isRead(value, Phase::Forward));
  };
  return !isOnce && llvm::any_of(valuesOf(vertex), isKept) ? inFlight : 1;
}

void GraphBuilder::addUsages(Vertex &vertex) {
  const int64_t copies = numCopies(vertex);
  for (const Strategy &strategy : vertex.strategies) {
    int64_t usage = 0;
    for (auto [value, sharding] : llvm::zip(valuesOf(vertex), strategy.results))
      if (liveness.needsMemory(value))
        usage += bytes(value.getType()) /
                 sharding.without(strategy.unreduced).numShards(graph.shardingTarget.mesh);
    vertex.usages.push_back(copies * usage);
  }
}

void GraphBuilder::addFlow(mlir::OpOperand &use, int vertex, unsigned operand) {
  auto source = sources.find(use.get());
  if (source == sources.end() || source->second.vertex == vertex) // or carried on as it came
    return;
  Flow &flow = flowOf(use.get(), source->second, use.getOwner());
  const Reader reader{vertex, operand, liveness.intervalOf(use)};
  if (Reader *known = findKnown(flow, reader))
    known->live.end = std::max(known->live.end, reader.live.end);
  else
    flow.readers.push_back(reader);
}

/// The flow of `value` to the phase of `reader`. What is returned is resharded where it is made.
Flow &GraphBuilder::flowOf(mlir::Value value, const Source &source, mlir::Operation *reader) {
  mlir::Block &body = graph.func.getFunctionBody().front();
  mlir::Operation *where = reader == &body.back() ? value.getDefiningOp() : graph.topLevel(reader);
  const llvm::StringRef phase = where ? phaseNameOf(where) : "";
  const int64_t round = where ? integerOf(where->getAttr(kRoundAttr)).value_or(0) : 0;
  auto [found, isNew] =
      flowNumbers.try_emplace({value.getAsOpaquePointer(), phase, round}, graph.allFlows.size());
  if (isNew) {
    double count = runs.lookup(value.getParentBlock());
    if (where && value.getParentBlock() == &body)
      count = runsInStep(where, count);
    graph.allFlows.push_back(
        {value, movedType(value), source.vertex, source.result, phase, count, {}});
  }
  return graph.allFlows[found->second];
}

/// The reader that stands for `reader`: of the same vertex, and always in the same sharding (the
/// square of a value is one reader). Null for none.
Reader *GraphBuilder::findKnown(Flow &flow, const Reader &reader) const {
  const int numStrategies = static_cast<int>(graph.allVertices[reader.vertex].strategies.size());
  auto found = llvm::find_if(flow.readers, [&](const Reader &known) {
    if (known.vertex != reader.vertex)
      return false;
    for (int strategy = 0; strategy < numStrategies; ++strategy)
      if (!(graph.consumed(known, strategy) == graph.consumed(reader, strategy)))
        return false;
    return true;
  });
  return found == flow.readers.end() ? nullptr : found;
}

mlir::LogicalResult GraphBuilder::addArguments() {
  for (mlir::BlockArgument argument : graph.func.getArguments()) {
    Vertex vertex;
    vertex.kind = Vertex::Kind::Argument;
    vertex.index = argument.getArgNumber();
    vertex.strategies = anySharding(argument.getType());
    vertex.live = liveness.intervalOf(argument);
    if (mlir::failed(keepFixedArgument(graph.func, vertex.index, graph.shardingTarget.mesh,
                                       vertex.strategies)))
      return mlir::failure();
    setSource(argument, addVertex(std::move(vertex)), 0);
  }
  return mlir::success();
}

mlir::LogicalResult GraphBuilder::visit(mlir::Block &block, double multiplicity) {
  runs[&block] = multiplicity;
  for (mlir::Operation &op : block) {
    mlir::LogicalResult result = mlir::success();
    if (isConstantLike(&op))
      continue;
    const double count = runsInStep(&op, multiplicity);
    if (isWhile(&op))
      result = addLoop(&op, count);
    else if (kindOf(&op) == OpKind::Branch)
      result = addBranch(&op, count);
    else if (kindOf(&op) == OpKind::OptimizationBarrier)
      addBarrier(&op, count);
    else if (&op != &block.back()) // the last op of a block returns
      result = addOp(&op, count);
    else if (block.getParentOp() == graph.func.getOperation())
      addReturn(&op);
    if (mlir::failed(result))
      return mlir::failure();
  }
  return mlir::success();
}

/// Of a stage, forward and backward run once per microbatch.
double GraphBuilder::runsInStep(mlir::Operation *op, double multiplicity) {
  auto count = graph.func->getAttrOfType<mlir::IntegerAttr>(kNumMicrobatchesAttr);
  const std::optional<Phase> phase = phaseOf(op);
  if (!count || !phase || phase == Phase::Update || op->getParentOp() != graph.func.getOperation())
    return multiplicity;
  return multiplicity * static_cast<double>(count.getInt());
}

mlir::LogicalResult GraphBuilder::addOp(mlir::Operation *op, double multiplicity) {
  if (isManuallySharded(op))
    return op->emitError() << "expected a program without manual sharding, got '" << op->getName()
                           << "': call shard_map outside the function to parallelize";
  Vertex vertex;
  vertex.op = op;
  vertex.multiplicity = multiplicity;
  const OpCost cost = costOf(op);
  mlir::FailureOr<ShardingRule> rule = ruleFor(op);
  if (mlir::succeeded(rule)) {
    vertex.strategies = enumerateStrategies(op, *rule, cost, graph.shardingTarget.mesh,
                                            graph.shardingTarget.device);
    if (mlir::failed(
            keepFixedResults(graph.func, op, graph.shardingTarget.mesh, vertex.strategies)))
      return mlir::failure();
    // Such an op reduces whatever it is told: its parts, each the whole, would count several times.
    std::optional<UpdateSum> sum = sumOfUpdate(graph.func, op);
    if (sum && !reducesOnWholeMeshOnly(op))
      leaveReductionsToUpdate(*sum, graph.shardingTarget.mesh, vertex.strategies);
  } else {
    op->emitRemark() << "no sharding rule for '" << op->getName() << "', so it stays replicated";
    vertex.strategies.push_back(replicatedStrategy(op, cost, graph.shardingTarget.device));
  }

  vertex.live = liveness.timeOf(op);
  for (mlir::Value result : op->getResults())
    vertex.live.end = std::max(vertex.live.end, liveness.intervalOf(result).end);
  const int number = addVertex(std::move(vertex));
  for (mlir::OpResult result : op->getResults())
    setSource(result, number, result.getResultNumber());
  for (mlir::OpOperand &operand : op->getOpOperands())
    addFlow(operand, number, operand.getOperandNumber());
  return mlir::success();
}

int GraphBuilder::addCarried(mlir::Operation *op, unsigned index, double multiplicity) {
  Vertex vertex;
  vertex.kind = Vertex::Kind::Carried;
  vertex.op = op;
  vertex.index = index;
  vertex.multiplicity = multiplicity;
  vertex.strategies = anySharding(op->getResult(index).getType());
  vertex.live = liveness.intervalOf(op->getResult(index));
  const int number = addVertex(std::move(vertex));
  setSource(op->getResult(index), number, 0);
  return number;
}

mlir::LogicalResult GraphBuilder::addLoop(mlir::Operation *op, double multiplicity) {
  std::optional<int64_t> trips = tripCount(op);
  if (!trips)
    op->emitRemark()
        << "the trip count of this loop is not known, so its body is priced as one run";
  const double inside = multiplicity * static_cast<double>(trips.value_or(1));

  mlir::Block &condition = whileCondition(op).front();
  mlir::Block &body = whileBody(op).front();
  std::vector<int> carried;
  for (mlir::OpOperand &initial : op->getOpOperands()) {
    const unsigned index = initial.getOperandNumber();
    carried.push_back(addCarried(op, index, multiplicity));
    addFlow(initial, carried[index], 0);
    setSource(condition.getArgument(index), carried[index], 0);
    setSource(body.getArgument(index), carried[index], 0);
  }
  if (mlir::failed(visit(condition, inside)) || mlir::failed(visit(body, inside)))
    return mlir::failure();
  for (mlir::OpOperand &next : body.back().getOpOperands())
    addFlow(next, carried[next.getOperandNumber()], 0);
  return mlir::success();
}

mlir::LogicalResult GraphBuilder::addBranch(mlir::Operation *op, double multiplicity) {
  std::vector<int> carried;
  for (unsigned index = 0; index < op->getNumResults(); ++index)
    carried.push_back(addCarried(op, index, multiplicity));
  for (mlir::Region &branch : op->getRegions()) {
    if (mlir::failed(visit(branch.front(), multiplicity)))
      return mlir::failure();
    for (mlir::OpOperand &yielded : branch.front().back().getOpOperands())
      addFlow(yielded, carried[yielded.getOperandNumber()], 0);
  }
  return mlir::success();
}

/// What a barrier holds has nothing in common: as one vertex its strategies would be all
/// combinations of those of its values, of which jax.checkpoint passes dozens.
void GraphBuilder::addBarrier(mlir::Operation *op, double multiplicity) {
  for (mlir::OpOperand &operand : op->getOpOperands()) {
    const unsigned index = operand.getOperandNumber();
    addFlow(operand, addCarried(op, index, multiplicity), 0);
  }
}

void GraphBuilder::addReturn(mlir::Operation *op) {
  // State comes back as it went in, so that the next call finds it where it expects it. The
  // vertices of the arguments are the first ones, in order.
  for (unsigned argument = 0; argument < graph.func.getNumArguments(); ++argument)
    if (std::optional<unsigned> result = updatedBy(graph.func, argument))
      addFlow(op->getOpOperand(*result), static_cast<int>(argument), 0);
}

/// Which splits there are, and what they cost, follows from sizes.
static llvm::LogicalResult checkSizesAreKnown(mlir::FunctionOpInterface func) {
  auto check = [](mlir::Value value) -> llvm::LogicalResult {
    auto type = llvm::dyn_cast<mlir::ShapedType>(value.getType());
    if (!type || type.hasStaticShape())
      return mlir::success();
    return mlir::emitError(value.getLoc()) << "expected a tensor whose sizes are known, got "
                                           << type << "; export the program for concrete shapes";
  };
  auto bad = func.walk([&](mlir::Block *block) {
    bool isGood = llvm::all_of(block->getArguments(),
                               [&](mlir::Value value) { return mlir::succeeded(check(value)); });
    for (mlir::Operation &op : *block)
      isGood = isGood && llvm::all_of(op.getResults(), [&](mlir::Value value) {
                 return mlir::succeeded(check(value));
               });
    return isGood ? mlir::WalkResult::advance() : mlir::WalkResult::interrupt();
  });
  return mlir::success(!bad.wasInterrupted());
}

mlir::FailureOr<ShardingGraph> ShardingGraph::build(mlir::ModuleOp module,
                                                    const ShardingTarget &target) {
  if (mlir::failed(checkModule(module)))
    return mlir::failure();
  for (auto func : module.getOps<mlir::FunctionOpInterface>())
    if (!func.isExternal()) {
      if (mlir::failed(checkSizesAreKnown(func)))
        return mlir::failure();
      return GraphBuilder(func, target).run();
    }
  return module.emitError() << "expected a function to shard, got none";
}

} // namespace alpa
