// Frontier, prologue and phases from batch dims and dependences; see the header and docs, "Training
// structure is found, not declared".

#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/Analysis/Dependence.h"
#include "alpa/IR/Attributes.h"
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
      ReductionKind combine = combineOf(end.op);
      bool isSum = end.kind == BatchEnd::Reduced && combine != ReductionKind::None;
      bool flowsBack = llvm::any_of(end.op->getResults(), [&](mlir::Value value) {
        return meetsBatch.contains(value) || batch.carries(value);
      });
      if (isSum && !flowsBack)
        continue; // the frontier
      if (isComputableBefore(end.op)) {
        result.prologue.insert(result.prologue.end(), end.op->result_begin(), end.op->result_end());
        prologueOps.insert(end.op);
      } else {
        result.mixing.push_back({end.op, reasonOf(end.kind, isSum), isSum && isOutermost(end.op)});
        mixingOps.insert(end.op);
      }
    }
  }

  static ReductionKind combineOf(mlir::Operation *op) {
    switch (kindOf(op)) {
    case OpKind::DotGeneral:
    case OpKind::Convolution:
    case OpKind::RaggedDot:
      return ReductionKind::Add;
    case OpKind::Reduce:
    case OpKind::Scatter:
      return reductionKind(op);
    default:
      return ReductionKind::None;
    }
  }

  /// From the batch alone, and once per step.
  bool isComputableBefore(mlir::Operation *op) const {
    return isOutermost(op) && llvm::none_of(op->getResults(), [this](mlir::Value value) {
             return fromWeights.contains(value) || batch.carries(value);
           });
  }

  static llvm::StringRef reasonOf(BatchEnd kind, bool isSum) {
    if (isSum)
      return "its sum over examples is used for each of them";
    if (kind == BatchEnd::Unknown)
      return "nothing is known of what it does with examples";
    return "it combines examples in another way than by a sum, product, minimum or maximum";
  }

  bool isOutermost(mlir::Operation *op) const {
    return op->getBlock() == &graph.function().getBody().front();
  }

  // --- The frontier ---

  void findFrontier() {
    for (const OpNode &node : graph.nodes()) {
      if (!isOutermost(node.op) || prologueOps.contains(node.op) || mixingOps.contains(node.op) ||
          !readsBatch(node.op))
        continue;
      for (mlir::Value value : node.op->getResults())
        if (!value.use_empty() && fromBatch.contains(value) && !batch.carries(value))
          result.frontier.push_back(
              {value,
               isWhile(node.op) || isBranch(node.op) ? ReductionKind::Add : combineOf(node.op),
               {}});
    }
  }

  bool readsBatch(mlir::Operation *op) const {
    auto carries = [this](mlir::Value value) { return batch.carries(value); };
    if (llvm::any_of(op->getOperands(), carries) || llvm::any_of(op->getResults(), carries))
      return true;
    if (!isWhile(op) && !isBranch(op))
      return false;
    return op
        ->walk([&](mlir::Operation *inner) {
          return llvm::any_of(inner->getOperands(), carries) ? mlir::WalkResult::interrupt()
                                                             : mlir::WalkResult::advance();
        })
        .wasInterrupted();
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
        if (auto found = frontier.find(value); found != frontier.end())
          found->second->gradientOf.push_back(static_cast<int>(number));
        else if (mlir::Operation *op = value.getDefiningOp(); op && !batch.carries(value))
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
      if (!value.gradientOf.empty())
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
      if (value.gradientOf.empty() && !gradientOps.contains(value.value.getDefiningOp())) {
        hasLoss = true;
        walkBack(value.value.getDefiningOp(), isForward);
      }
    for (mlir::Value returned : graph.function().getBody().front().back().getOperands())
      if (mlir::Operation *op = returned.getDefiningOp(); op && batch.carries(returned))
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
                                      (isUnused && readsBatch(op))
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
  llvm::SetVector<mlir::Operation *> prologueOps, mixingOps;
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
