// Builds the sharding graph: walks the function in program order, into loops and branches, and
// gives every argument, op and carried value its strategies, live interval and memory use.

#include "alpa/Analysis/OpGraph.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/OpRules.h"
#include "alpa/IR/ShardyOps.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "alpa/Sharding/FixedShardings.h"
#include "alpa/Sharding/MethodRestrictions.h"
#include "alpa/Sharding/ShardingGraph.h"

namespace alpa {

class GraphBuilder {
public:
  GraphBuilder(mlir::FunctionOpInterface func, const ShardingTarget &target) {
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

  void number(mlir::Region &region);
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
  void addFlow(mlir::Value value, int consumer, unsigned operand, double multiplicity);
  void setSource(mlir::Value value, int vertex, unsigned result) {
    sources[value] = {vertex, result};
  }
  std::vector<Strategy> anySharding(mlir::Type type) const;
  OpCost costOf(mlir::Operation *op) const;
  double runsInStep(mlir::Operation *op, double multiplicity);
  int64_t numCopies(const Vertex &vertex);
  int64_t lastUse(mlir::Value value) const;

  ShardingGraph graph;
  llvm::DenseMap<mlir::Value, Source> sources;
  llvm::DenseMap<mlir::Operation *, Interval> times; ///< of an op and all that is nested in it
  int64_t end = 0;
};

namespace {

/// Whether the result of `op` lies where its first operand did: a view of it, or an update in place
/// of a buffer that nobody else reads.
bool isInPlace(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Reshape:
  case OpKind::OptimizationBarrier:
  case OpKind::ShardingConstraint:
    return true;
  case OpKind::DynamicUpdateSlice:
  case OpKind::Scatter:
    return op->getOperand(0).hasOneUse();
  default:
    return false;
  }
}

/// Whether value `index` leaves the loop `op` as it came in: no copy of it is made.
bool isCarriedUnchanged(mlir::Operation *op, unsigned index) {
  return isWhile(op) &&
         whileBody(op).front().back().getOperand(index) == whileBody(op).front().getArgument(index);
}

/// Whether XLA computes `op` inside the loops of its readers, so that its result never reaches
/// memory: a broadcast in each of them anew, other maps of elements only in a single one.
bool isFusedAway(mlir::Operation *op) {
  const bool isBroadcast = kindOf(op) == OpKind::BroadcastInDim;
  if (!(isBroadcast || isElementwise(op)) || op->getNumResults() != 1 || op->use_empty() ||
      !(isBroadcast || op->getResult(0).hasOneUse()))
    return false;
  return llvm::all_of(op->getUsers(), [&](mlir::Operation *user) {
    return user->getBlock() == op->getBlock() && (isElementwise(user) || isReduction(user));
  });
}

/// Whether what operand `index` of `op` holds is still needed while result `index` is: under a new
/// name, or to be broadcast again.
bool livesOn(mlir::Operation *op, unsigned index) {
  if (index >= op->getNumResults())
    return false;
  return isInPlace(op) || isCarriedUnchanged(op, index) ||
         (kindOf(op) == OpKind::BroadcastInDim && isFusedAway(op));
}

} // namespace

mlir::FailureOr<ShardingGraph> GraphBuilder::run() {
  number(graph.func.getFunctionBody());
  if (mlir::failed(addArguments()) ||
      mlir::failed(visit(graph.func.getFunctionBody().front(), /*multiplicity=*/1)))
    return mlir::failure();
  if (mlir::failed(restrictToMethod(graph.shardingTarget, graph.func, graph.allVertices)))
    return mlir::failure();
  for (Vertex &vertex : graph.allVertices)
    addUsages(vertex);
  return std::move(graph);
}

void GraphBuilder::number(mlir::Region &region) {
  for (mlir::Block &block : region)
    for (mlir::Operation &op : block) {
      const int64_t begin = end++;
      if (isWhile(&op) || kindOf(&op) == OpKind::Branch)
        for (mlir::Region &nested : op.getRegions())
          number(nested);
      times[&op] = {begin, end};
    }
}

int64_t GraphBuilder::lastUse(mlir::Value value) const {
  int64_t last = 0;
  for (mlir::OpOperand &use : value.getUses()) {
    mlir::Operation *user = use.getOwner();
    const unsigned number = use.getOperandNumber();
    // What a nested op reads lives until the op around it, in the block of the value, is over.
    mlir::Operation *ancestor = value.getParentBlock()->findAncestorOpInBlock(*user);
    // What a loop starts from and changes is no longer needed when it runs: it has a buffer itself.
    const bool isTakenOver = user == ancestor && isWhile(user) && !isCarriedUnchanged(user, number);
    const Interval time = times.lookup(ancestor);
    last = std::max(last, isTakenOver ? time.begin : time.end);
    if (livesOn(user, number))
      last = std::max(last, lastUse(user->getResult(number)));
  }
  return last;
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
  cost.memoryBytes =
      static_cast<double>((isMap ? 0 : traffic.read) + (isFusedAway(op) ? 0 : traffic.written));
  cost.elementType = op->getNumOperands() ? elementTypeName(op->getOperand(0).getType()) : "f32";
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
  auto inFlight = graph.func->getAttrOfType<mlir::IntegerAttr>(kNumInFlightAttr);
  if (!inFlight)
    return 1;
  auto isOfPhase = [](mlir::Operation *op, llvm::StringRef name) {
    auto phase = op->getAttrOfType<mlir::StringAttr>(kPhaseAttr);
    return phase && phase.getValue() == name;
  };
  const bool isOnce = vertex.kind == Vertex::Kind::Argument
                          ? graph.func.getArgAttr(vertex.index, kArgumentAttr) &&
                                !graph.func.getArgAttr(vertex.index, kBatchAttr)
                          : !isOfPhase(vertex.op, "forward");
  auto isRead = [&](mlir::Value value, llvm::StringRef phase) {
    return llvm::any_of(value.getUsers(),
                        [&](mlir::Operation *user) { return isOfPhase(user, phase); });
  };
  auto isKept = [&](mlir::Value value) {
    return isRead(value, "backward") &&
           (mlir::isa<mlir::OpResult>(value) || isRead(value, "forward"));
  };
  return !isOnce && llvm::any_of(valuesOf(vertex), isKept) ? inFlight.getInt() : 1;
}

void GraphBuilder::addUsages(Vertex &vertex) {
  const int64_t copies = numCopies(vertex);
  const bool needsNone =
      (vertex.kind == Vertex::Kind::Op && (isFusedAway(vertex.op) || isInPlace(vertex.op))) ||
      (vertex.kind == Vertex::Kind::Carried &&
       (isInPlace(vertex.op) || isCarriedUnchanged(vertex.op, vertex.index)));
  for (const Strategy &strategy : vertex.strategies) {
    int64_t usage = 0;
    for (auto [value, sharding] : llvm::zip(valuesOf(vertex), strategy.results))
      usage += bytes(value.getType()) / sharding.numShards(graph.shardingTarget.mesh);
    vertex.usages.push_back(needsNone ? 0 : copies * usage);
  }
}

void GraphBuilder::addFlow(mlir::Value value, int consumer, unsigned operand, double multiplicity) {
  auto source = sources.find(value);
  if (source != sources.end())
    graph.allFlows.push_back(
        {value, source->second.vertex, source->second.result, consumer, operand, multiplicity});
}

mlir::LogicalResult GraphBuilder::addArguments() {
  for (mlir::BlockArgument argument : graph.func.getArguments()) {
    Vertex vertex;
    vertex.kind = Vertex::Kind::Argument;
    vertex.index = argument.getArgNumber();
    vertex.strategies = anySharding(argument.getType());
    vertex.live = {0, isDonated(graph.func, vertex.index) ? lastUse(argument) : end};
    if (mlir::failed(keepFixedArgument(graph.func, vertex.index, graph.shardingTarget.mesh,
                                       vertex.strategies)))
      return mlir::failure();
    setSource(argument, addVertex(std::move(vertex)), 0);
  }
  return mlir::success();
}

mlir::LogicalResult GraphBuilder::visit(mlir::Block &block, double multiplicity) {
  for (mlir::Operation &op : block) {
    mlir::LogicalResult result = mlir::success();
    if (isConstantLike(&op))
      continue;
    const double runs = runsInStep(&op, multiplicity);
    if (isWhile(&op))
      result = addLoop(&op, runs);
    else if (kindOf(&op) == OpKind::Branch)
      result = addBranch(&op, runs);
    else if (kindOf(&op) == OpKind::OptimizationBarrier)
      addBarrier(&op, runs);
    else if (&op != &block.back()) // the last op of a block returns
      result = addOp(&op, runs);
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
  auto phase = op->getAttrOfType<mlir::StringAttr>(kPhaseAttr);
  if (!count || !phase || phase.getValue() == "update" ||
      op->getParentOp() != graph.func.getOperation())
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
    if (mlir::failed(keepFixedResults(op, graph.shardingTarget.mesh, vertex.strategies)))
      return mlir::failure();
  } else {
    op->emitRemark() << "no sharding rule for '" << op->getName() << "', so it stays replicated";
    vertex.strategies.push_back(replicatedStrategy(op, cost, graph.shardingTarget.device));
  }

  vertex.live.begin = times.lookup(op).begin;
  vertex.live.end = times.lookup(op).end;
  for (mlir::Value result : op->getResults())
    vertex.live.end = std::max(vertex.live.end, lastUse(result));
  const int number = addVertex(std::move(vertex));
  for (mlir::OpResult result : op->getResults())
    setSource(result, number, result.getResultNumber());
  for (mlir::OpOperand &operand : op->getOpOperands())
    addFlow(operand.get(), number, operand.getOperandNumber(), multiplicity);
  return mlir::success();
}

int GraphBuilder::addCarried(mlir::Operation *op, unsigned index, double multiplicity) {
  Vertex vertex;
  vertex.kind = Vertex::Kind::Carried;
  vertex.op = op;
  vertex.index = index;
  vertex.multiplicity = multiplicity;
  vertex.strategies = anySharding(op->getResult(index).getType());
  const Interval time = times.lookup(op);
  vertex.live = {time.begin, std::max(time.end, lastUse(op->getResult(index)))};
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
    addFlow(initial.get(), carried[index], 0, multiplicity);
    setSource(condition.getArgument(index), carried[index], 0);
    setSource(body.getArgument(index), carried[index], 0);
  }
  if (mlir::failed(visit(condition, inside)) || mlir::failed(visit(body, inside)))
    return mlir::failure();
  for (mlir::OpOperand &next : body.back().getOpOperands())
    addFlow(next.get(), carried[next.getOperandNumber()], 0, inside);
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
      addFlow(yielded.get(), carried[yielded.getOperandNumber()], 0, multiplicity);
  }
  return mlir::success();
}

/// What a barrier holds has nothing in common: as one vertex its strategies would be all
/// combinations of those of its values, of which jax.checkpoint passes dozens.
void GraphBuilder::addBarrier(mlir::Operation *op, double multiplicity) {
  for (mlir::OpOperand &operand : op->getOpOperands()) {
    const unsigned index = operand.getOperandNumber();
    addFlow(operand.get(), addCarried(op, index, multiplicity), 0, multiplicity);
  }
}

void GraphBuilder::addReturn(mlir::Operation *op) {
  // State comes back as it went in, so that the next call finds it where it expects it. The
  // vertices of the arguments are the first ones, in order.
  for (unsigned argument = 0; argument < graph.func.getNumArguments(); ++argument)
    if (std::optional<unsigned> result = updatedBy(graph.func, argument))
      addFlow(op->getOperand(*result), static_cast<int>(argument), 0, 1);
}

mlir::FailureOr<ShardingGraph> ShardingGraph::build(mlir::ModuleOp module,
                                                    const ShardingTarget &target) {
  for (auto func : module.getOps<mlir::FunctionOpInterface>())
    return GraphBuilder(func, target).run();
  return module.emitError() << "expected a function to shard, got none";
}

} // namespace alpa
