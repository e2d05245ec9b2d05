// Frontier, prologue and phases from batch dims and dependences; see the header and docs, "Training
// structure is found, not declared".

#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/Analysis/Dependence.h"
#include "alpa/Analysis/PartialSums.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/bit.h"
#include <numeric>

namespace alpa {
namespace {

class PhaseFinder {
public:
  PhaseFinder(const OpGraph &graph, const BatchDims &batch, TrainingPhases &result)
      : graph(graph), batch(batch), result(result), meetings(result.meetings) {}

  void run() {
    meetings = Meetings::find(graph, batch);
    for (mlir::Operation *op : meetings.before)
      for (mlir::Value value : op->getResults())
        if (!value.use_empty())
          result.prologue.push_back(value);
    result.roles = argumentRoles(graph, meetings);
    llvm::SmallVector<mlir::Value> examples;
    for (mlir::BlockArgument argument : graph.function().getArguments())
      if (result.roles[argument.getArgNumber()] == ArgumentRole::Batch)
        examples.push_back(argument);
    for (mlir::Value value : result.prologue)
      if (batch.carries(value))
        examples.push_back(value);
    varying = dependents(graph, examples, meetings.before);
    findFrontier();
    findOwners();
    assignPhases();
    countExamples();
  }

private:
  bool isOutermost(mlir::Operation *op) const {
    return op->getBlock() == &graph.function().getBody().front();
  }

  // --- The frontier ---

  void findFrontier() {
    for (mlir::Operation *op : meetings.after)
      for (mlir::Value operand : op->getOperands())
        if (isJoined(operand))
          joined.insert(operand);
    for (mlir::Value value : joined)
      result.frontier.push_back({value, additionOf(value.getType()), {}, /*isJoined=*/true});
    for (const OpNode &node : graph.nodes())
      if (isFrontier(node.op))
        for (mlir::Value value : node.op->getResults())
          if (!value.use_empty() && varying.contains(value) && !batch.carries(value))
            result.frontier.push_back({value, frontierKind(node.op, value), {}});
  }

  /// The whole batch's is not known otherwise.
  bool isJoined(mlir::Value value) const {
    mlir::Operation *op = value.getDefiningOp();
    return batch.carries(value) &&
           !(op && (meetings.after.contains(op) || meetings.before.contains(op)));
  }

  bool isFrontier(mlir::Operation *op) const {
    return isOutermost(op) && batch.touches(op) && !meetings.isMixing(op) &&
           !meetings.before.contains(op) && !meetings.after.contains(op);
  }

  ReductionKind frontierKind(mlir::Operation *op, mlir::Value value) const {
    return isWhile(op) || isBranch(op)
               ? PartialSums(batch, varying).combinationOf(llvm::cast<mlir::OpResult>(value))
               : combinationOf(op);
  }

  /// The result that is the next value of an argument, or else its gradient.
  std::optional<int64_t> resultOf(unsigned argument) const {
    mlir::func::FuncOp function = graph.function();
    std::optional<int64_t> next = integerOf(function.getArgAttr(argument, kStateAttr));
    return next ? next : integerOf(function.getArgAttr(argument, kGradientAttr));
  }

  /// From the next value of each parameter back through the update.
  void findOwners() {
    llvm::DenseMap<mlir::Value, FrontierValue *> frontier;
    for (FrontierValue &value : result.frontier)
      frontier[value.value] = &value;
    mlir::Operation &terminator = graph.function().getBody().front().back();
    for (auto [number, role] : llvm::enumerate(result.roles)) {
      std::optional<int64_t> next = resultOf(number);
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

  /// For every op, the sets among `sets` (bits) of the ops behind it, its own included.
  std::vector<uint64_t> setsBehind(std::vector<uint64_t> sets) const {
    // Producers come earlier, but for those in the regions of a loop or branch that return its
    // results: these make another round necessary.
    for (bool isComplete = false; !isComplete;) {
      isComplete = true;
      for (int index = graph.size() - 1; index >= 0; --index)
        for (int producer : graph[index].producers) {
          if ((sets[index] | sets[producer]) == sets[producer] ||
              meetings.before.contains(graph[producer].op))
            continue;
          sets[producer] |= sets[index];
          isComplete &= producer < index;
        }
    }
    return sets;
  }

  /// Of how many of the `ends` each op is an ancestor, or one itself.
  std::vector<int> countReached(llvm::ArrayRef<int> ends) const {
    std::vector<int> counts(graph.size());
    for (; !ends.empty(); ends = ends.drop_front(std::min<size_t>(64, ends.size()))) {
      std::vector<uint64_t> sets(graph.size());
      for (auto [bit, end] : llvm::enumerate(ends.take_front(64)))
        sets[end] |= uint64_t(1) << bit;
      for (auto [count, set] : llvm::zip_equal(counts, setsBehind(std::move(sets))))
        count += llvm::popcount(set);
    }
    return counts;
  }

  /// Whether each op is an ancestor of any of the `ends`, or one itself.
  std::vector<int> reach(llvm::ArrayRef<int> ends) const {
    std::vector<uint64_t> sets(graph.size());
    for (int end : ends)
      if (end >= 0) // a terminator is no node
        sets[end] = 1;
    std::vector<uint64_t> reached = setsBehind(std::move(sets));
    return {reached.begin(), reached.end()};
  }

  void assignPhases() {
    llvm::SmallPtrSet<mlir::Operation *, 32> gradientOps;
    for (const FrontierValue &value : result.frontier)
      if (!value.gradientOf.empty() && value.value.getDefiningOp())
        gradientOps.insert(value.value.getDefiningOp());
    std::vector<int> gradients, outcomes, before;
    for (int index = 0; index < graph.size(); ++index)
      if (gradientOps.contains(graph[index].op))
        gradients.push_back(index);
    for (const FrontierValue &value : result.frontier)
      if (mlir::Operation *op = value.value.getDefiningOp();
          op && value.gradientOf.empty() && !gradientOps.contains(op))
        outcomes.push_back(graph.indexOf(op));
    const bool hasLoss = !outcomes.empty();
    for (mlir::Value returned : graph.function().getBody().front().back().getOperands())
      if (mlir::Operation *op = returned.getDefiningOp(); op && isJoined(returned))
        outcomes.push_back(graph.indexOf(op));
    for (mlir::Operation *op : meetings.before)
      before.push_back(graph.indexOf(op));
    const std::vector<int> gradientsBehind = countReached(gradients);
    const std::vector<int> inForward = reach(outcomes), inPrologue = reach(before);

    // Of a single gradient, the whole backward pass is an ancestor of all.
    const int numGradients = static_cast<int>(gradients.size());
    bool isSharedForward = numGradients > (hasLoss ? 1 : 0);
    for (int index = 0; index < graph.size(); ++index) {
      mlir::Operation *op = graph[index].op;
      bool isInAllGradients = isSharedForward && gradientsBehind[index] == numGradients;
      bool isUnused = gradientsBehind[index] == 0 && !inPrologue[index];
      result.phases.push_back(
          inForward[index] || (isInAllGradients && !gradientOps.contains(op)) ||
                  (isUnused && batch.touches(op) && !meetings.after.contains(op))
              ? Phase::Forward
          : gradientsBehind[index] > 0 ? Phase::Backward
          : inPrologue[index]          ? Phase::Prologue
                                       : Phase::Update);
    }
    spreadPhases();
  }

  void countExamples() {
    auto add = [&](const std::optional<BatchDim> &dim) {
      result.numExamples = std::gcd(result.numExamples, dim ? dim->size : 0);
    };
    for (int index = 0; index < graph.size(); ++index) {
      if (result.phases[index] != Phase::Forward && result.phases[index] != Phase::Backward)
        continue;
      mlir::Operation *op = graph[index].op;
      for (unsigned operand = 0; operand < op->getNumOperands(); ++operand)
        add(batch.read(op, operand));
      for (mlir::Value value : op->getResults())
        add(batch.of(value));
    }
    for (mlir::Value returned : graph.function().getBody().front().back().getOperands())
      add(batch.of(returned));
    if (result.numExamples == 0)
      for (mlir::BlockArgument argument : graph.function().getArguments())
        add(batch.of(argument));
  }

  /// Ops inside a loop or branch have its phase.
  void spreadPhases() {
    for (int index = 0; index < graph.size(); ++index)
      for (int inner = index + 1; inner <= graph[index].last; ++inner)
        result.phases[inner] = result.phases[index];
  }

  const OpGraph &graph;
  const BatchDims &batch;
  TrainingPhases &result;
  Meetings &meetings;
  llvm::DenseSet<mlir::Value> varying; ///< with the microbatch
  llvm::SetVector<mlir::Value> joined;
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

ReductionKind reductionNamed(llvm::StringRef text) {
  for (ReductionKind kind : {ReductionKind::Add, ReductionKind::Mul, ReductionKind::Min,
                             ReductionKind::Max, ReductionKind::And, ReductionKind::Or})
    if (name(kind) == text)
      return kind;
  return ReductionKind::None;
}

mlir::RankedTensorType FrontierValue::sumType() const {
  auto type = llvm::cast<mlir::RankedTensorType>(value.getType());
  auto element = llvm::dyn_cast<mlir::FloatType>(type.getElementType());
  const bool isNarrow = element && element.getWidth() < 32;
  return isNarrow && combine == ReductionKind::Add && !isJoined
             ? type.clone(mlir::Float32Type::get(type.getContext()))
             : type;
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
