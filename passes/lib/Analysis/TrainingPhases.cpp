// Frontier, prologue and phases from batch dims and dependences; see the header and docs, "Training
// structure is found, not declared".

#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/Analysis/Dependence.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

bool isFloating(mlir::Type type) {
  return llvm::isa<mlir::FloatType, mlir::ComplexType>(mlir::getElementTypeOrSelf(type));
}

class PhaseFinder {
public:
  PhaseFinder(const OpGraph &graph, const BatchDims &batch, TrainingPhases &result)
      : graph(graph), batch(batch), result(result), meetsBatch(valuesMeetingBatch(graph, batch)) {}

  void run() {
    result.roles = argumentRoles(graph, batch);
    llvm::SmallVector<mlir::Value> batchArguments, weights;
    for (mlir::BlockArgument argument : graph.function().getArguments())
      if (result.roles[argument.getArgNumber()] == ArgumentRole::Batch)
        batchArguments.push_back(argument);
      else if (isFloating(argument.getType()))
        weights.push_back(argument);
    fromBatch = dependents(graph, batchArguments);
    fromWeights = dependents(graph, weights);
    classifyEnds();
    findFrontier();
    findOwners();
    assignPhases();
  }

private:
  // --- Where the batch ends ---

  void classifyEnds() {
    for (const BatchDims::End &end : batch.ends()) {
      ReductionKind combine = combinationOf(end.op);
      bool isCombination = end.kind == BatchEnd::Reduced && combine != ReductionKind::None;
      bool flowsBack = llvm::any_of(end.op->getResults(), [&](mlir::Value value) {
        return meetsBatch.contains(value) || batch.carries(value);
      });
      if (isCombination && !flowsBack)
        continue; // the frontier
      mlir::Operation *outermost = outermostOf(end.op);
      if (isComputableBefore(outermost)) {
        makeBefore(outermost);
        continue;
      }
      if (mayRunAfterBatch(end.op, batch, meetsBatch)) {
        afterOps.insert(end.op);
        continue;
      }
      mlir::Operation *decided = decidedBy(end.op);
      bool isStatistic =
          isCombination && combine == ReductionKind::Add && outermost == end.op && !decided;
      result.mixing.push_back(
          {end.op, reasonOf(end.kind, isCombination, decided), isStatistic, decided});
      mixingOps.insert(end.op);
    }
  }

  void makeBefore(mlir::Operation *op) {
    if (!prologueOps.insert(op))
      return;
    for (mlir::Value value : op->getResults())
      if (!value.use_empty())
        result.prologue.push_back(value);
  }

  /// From the batch alone. What a loop or branch combines inside takes all of it along.
  bool isComputableBefore(mlir::Operation *outermost) const {
    return llvm::none_of(outermost->getResults(),
                         [this](mlir::Value value) { return fromWeights.contains(value); });
  }

  /// The loop or branch, if any, that `op` decides for all examples.
  mlir::Operation *decidedBy(mlir::Operation *op) const {
    llvm::SmallVector<mlir::Value> seeds(op->getResults());
    llvm::DenseSet<mlir::Value> reached = dependents(graph, seeds);
    for (const OpNode &node : graph.nodes()) {
      bool isLoop = isWhile(node.op);
      if (!isLoop && !isBranch(node.op))
        continue;
      mlir::Value decider =
          isLoop ? whileCondition(node.op).front().back().getOperand(0) : node.op->getOperand(0);
      if (meetsBatch.contains(decider) && reached.contains(decider))
        return node.op;
    }
    return nullptr;
  }

  static std::string reasonOf(BatchEnd kind, bool isCombination, mlir::Operation *decided) {
    if (decided)
      return (isWhile(decided) ? "it decides for all examples how often '"
                               : "it decides for all examples which branch of '") +
             decided->getName().getStringRef().str() + (isWhile(decided) ? "' runs" : "' is taken");
    if (isCombination)
      return "its sum over examples is used for each of them";
    if (kind == BatchEnd::Unknown)
      return "nothing is known of what it does with examples";
    return "it combines examples in another way than by a sum, product, minimum or maximum";
  }

  mlir::Operation *outermostOf(mlir::Operation *op) const {
    while (!isOutermost(op))
      op = op->getParentOp();
    return op;
  }

  bool isOutermost(mlir::Operation *op) const {
    return op->getBlock() == &graph.function().getBody().front();
  }

  // --- The frontier ---

  void findFrontier() {
    for (mlir::Operation *op : afterOps)
      for (mlir::Value operand : op->getOperands())
        if (batch.carries(operand) && joined.insert(operand).second &&
            !llvm::is_contained(result.prologue, operand))
          result.frontier.push_back(
              {operand, additionOf(operand.getType()), {}, /*isJoined=*/true});
    for (const OpNode &node : graph.nodes()) {
      if (afterOps.contains(node.op) || !isOutermost(node.op) || prologueOps.contains(node.op) ||
          mixingOps.contains(node.op) || !batch.touches(node.op))
        continue;
      for (mlir::Value value : node.op->getResults())
        if (!value.use_empty() && fromBatch.contains(value) && !batch.carries(value))
          result.frontier.push_back(
              {value,
               isWhile(node.op) || isBranch(node.op) ? ReductionKind::Add : combinationOf(node.op),
               {}});
    }
  }

  /// From the next value of each parameter back through the update.
  void findOwners() {
    llvm::DenseMap<mlir::Value, FrontierValue *> frontier;
    for (FrontierValue &value : result.frontier)
      frontier[value.value] = &value;
    mlir::func::FuncOp function = graph.function();
    mlir::Operation &terminator = function.getBody().front().back();
    for (auto [number, role] : llvm::enumerate(result.roles)) {
      std::optional<int64_t> next = integerOf(function.getArgAttr(number, kStateAttr));
      if (role != ArgumentRole::Parameter || !next || *next < 0 ||
          *next >= terminator.getNumOperands())
        continue;
      llvm::SmallVector<mlir::Value> pending = {terminator.getOperand(*next)};
      llvm::DenseSet<mlir::Value> seen;
      while (!pending.empty()) {
        mlir::Value value = pending.pop_back_val();
        if (!seen.insert(value).second)
          continue;
        if (auto found = frontier.find(value); found != frontier.end()) {
          if (!found->second->isJoined || isFloating(value.getType())) // ids are no gradients
            found->second->gradientOf.push_back(static_cast<int>(number));
        } else if (mlir::Operation *op = value.getDefiningOp(); op && !batch.carries(value))
          for (mlir::Value operand : op->getOperands())
            if (isOneToOne(op, operand))
              pending.push_back(operand);
      }
    }
  }

  /// Not so where one value is spread over all of another: the global norm that clips every
  /// gradient, a step size.
  static bool isOneToOne(mlir::Operation *op, mlir::Value operand) {
    auto from = llvm::dyn_cast<mlir::RankedTensorType>(operand.getType());
    auto to = llvm::dyn_cast<mlir::RankedTensorType>(op->getResult(0).getType());
    if (!from || !to || !from.hasStaticShape() || !to.hasStaticShape())
      return false;
    bool isSpread = isElementwise(op) || kindOf(op) == OpKind::BroadcastInDim;
    return !isSpread || from.getNumElements() == to.getNumElements();
  }

  // --- Phases ---

  void assignPhases() {
    int size = graph.size();
    std::vector<int> gradientsBehind(size), seen(size, -1);
    std::vector<bool> inForward(size), inPrologue(size);
    int walk = 0;
    auto walkBack = [&](mlir::Operation *from, auto &&visit) {
      llvm::SmallVector<int> pending = {graph.indexOf(from)};
      for (; !pending.empty();) {
        int index = pending.pop_back_val();
        if (index < 0 || seen[index] == walk)
          continue;
        seen[index] = walk;
        visit(index);
        for (int producer : graph[index].producers)
          if (!prologueOps.contains(graph[producer].op))
            pending.push_back(producer);
      }
      ++walk;
    };

    llvm::SmallPtrSet<mlir::Operation *, 32> gradientOps;
    for (const FrontierValue &value : result.frontier)
      if (!value.gradientOf.empty() && value.value.getDefiningOp())
        gradientOps.insert(value.value.getDefiningOp());
    int numGradients = 0;
    for (const OpNode &node : graph.nodes())
      if (gradientOps.contains(node.op)) {
        ++numGradients;
        walkBack(node.op, [&](int index) { ++gradientsBehind[index]; });
      }
    bool hasLoss = false;
    auto isForward = [&](int index) { inForward[index] = true; };
    for (const FrontierValue &value : result.frontier)
      if (mlir::Operation *op = value.value.getDefiningOp();
          op && value.gradientOf.empty() && !gradientOps.contains(op)) {
        hasLoss = true;
        walkBack(op, isForward);
      }
    for (mlir::Value returned : graph.function().getBody().front().back().getOperands())
      if (mlir::Operation *op = returned.getDefiningOp();
          op && batch.carries(returned) && !prologueOps.contains(op))
        walkBack(op, isForward);
    for (mlir::Operation *op : prologueOps)
      walkBack(op, [&](int index) { inPrologue[index] = true; });

    // Of a single gradient, the whole backward pass is an ancestor of all.
    bool isSharedForward = numGradients > (hasLoss ? 1 : 0);
    for (int index = 0; index < size; ++index) {
      mlir::Operation *op = graph[index].op;
      bool isInAllGradients = isSharedForward && gradientsBehind[index] == numGradients;
      bool isUnused = gradientsBehind[index] == 0 && !inPrologue[index];
      result.phases.push_back(inForward[index] || (isInAllGradients && !gradientOps.contains(op)) ||
                                      (isUnused && batch.touches(op) && !afterOps.contains(op))
                                  ? Phase::Forward
                              : gradientsBehind[index] > 0 ? Phase::Backward
                              : inPrologue[index]          ? Phase::Prologue
                                                           : Phase::Update);
    }
    for (int index = 0; index < size; ++index)
      for (int inner = index + 1; inner <= graph[index].last; ++inner)
        result.phases[inner] = result.phases[index];
  }

  const OpGraph &graph;
  const BatchDims &batch;
  TrainingPhases &result;
  llvm::DenseSet<mlir::Value> meetsBatch, fromBatch, fromWeights;
  llvm::SetVector<mlir::Operation *> prologueOps, mixingOps, afterOps;
  llvm::DenseSet<mlir::Value> joined;
};

} // namespace

llvm::StringRef name(ArgumentRole role) {
  switch (role) {
  case ArgumentRole::Parameter:
    return "parameter";
  case ArgumentRole::OptimizerState:
    return "optimizer state";
  case ArgumentRole::Batch:
    return "batch";
  case ArgumentRole::Other:
    return "other";
  }
  return "";
}

llvm::StringRef name(ReductionKind kind) {
  switch (kind) {
  case ReductionKind::None:
    return "";
  case ReductionKind::Add:
    return "add";
  case ReductionKind::Mul:
    return "mul";
  case ReductionKind::Min:
    return "min";
  case ReductionKind::Max:
    return "max";
  case ReductionKind::And:
    return "and";
  case ReductionKind::Or:
    return "or";
  }
  return "";
}

bool TrainingPhases::isGradientFound(int parameter) const {
  return llvm::any_of(frontier, [parameter](const FrontierValue &value) {
    return llvm::is_contained(value.gradientOf, parameter);
  });
}

TrainingPhases trainingPhases(const OpGraph &graph, const BatchDims &batch) {
  TrainingPhases result;
  PhaseFinder(graph, batch, result).run();
  return result;
}

} // namespace alpa
