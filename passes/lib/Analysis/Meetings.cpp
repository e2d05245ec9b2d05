// See the header.

#include "alpa/Analysis/Meetings.h"
#include "MeetsBatch.h"
#include "alpa/Analysis/Dependence.h"
#include "alpa/IR/Attributes.h"

namespace alpa {

class MeetingFinder {
public:
  MeetingFinder(const OpGraph &graph, const BatchDims &batch)
      : graph(graph), batch(batch), body(graph.function().getFunctionBody().front()) {
    mlir::func::FuncOp function = graph.function();
    llvm::SmallVector<mlir::Value> weights;
    for (mlir::BlockArgument argument : function.getArguments())
      if (!function.getArgAttr(argument.getArgNumber(), kBatchAttr) &&
          isFloating(argument.getType()))
        weights.push_back(argument);
    fromWeights = dependents(graph, weights);
  }

  Meetings find() {
    // What runs afterwards meets no examples, but which ops may is decided by what they meet.
    result.meetsBatch = valuesMeetingBatch(graph, batch, {});
    llvm::SmallVector<BatchDims::End> left;
    for (const BatchDims::End &end : batch.ends())
      if (isMeeting(end) && !goesBefore(end.op) && !goesAfter(end.op))
        left.push_back(end);
    result.meetsBatch = valuesMeetingBatch(graph, batch, result.after);
    for (const BatchDims::End &end : left) {
      result.mixing.push_back(mixingOf(end));
      result.mixingOps.insert(end.op);
    }
    return std::move(result);
  }

private:
  static bool isCombination(const BatchDims::End &end) {
    return end.kind == BatchEnd::Reduced &&
           (isWhile(end.op) || combinationOf(end.op) != ReductionKind::None);
  }

  /// Not so the frontier: a sum of which no example hears.
  bool isMeeting(const BatchDims::End &end) const {
    return !isCombination(end) || llvm::any_of(end.op->getResults(), [&](mlir::Value value) {
      return result.meetsBatch.contains(value) || (batch.carries(value) && !isWhile(end.op));
    });
  }

  /// From the batch alone. What a loop or branch combines inside takes all of it along.
  bool goesBefore(mlir::Operation *op) {
    mlir::Operation *outermost = body.findAncestorOpInBlock(*op);
    if (llvm::any_of(outermost->getResults(),
                     [&](mlir::Value value) { return fromWeights.contains(value); }))
      return false;
    result.before.insert(outermost);
    return true;
  }

  bool goesAfter(mlir::Operation *op) {
    if (result.after.contains(op))
      return true;
    const llvm::SetVector<mlir::Operation *> tail = dependentOps(op);
    auto fits = [&](mlir::Operation *member) { return !batch.touches(member) || isCheap(member); };
    if (!llvm::all_of(tail, fits))
      return false;
    for (mlir::Operation *member : tail)
      if (batch.touches(member))
        result.after.insert(member);
    return true;
  }

  /// The outermost ops that need what `op` makes, and `op` itself.
  llvm::SetVector<mlir::Operation *> dependentOps(mlir::Operation *op) const {
    llvm::SetVector<mlir::Operation *> found;
    llvm::SetVector<mlir::Value> reached;
    found.insert(op);
    reached.insert(op->result_begin(), op->result_end());
    for (size_t i = 0; i < reached.size(); ++i)
      for (mlir::OpOperand &use : mlir::Value(reached[i]).getUses()) {
        mlir::Operation *user = body.findAncestorOpInBlock(*use.getOwner());
        if (!user || user == &body.back())
          continue;
        // What stands side by side in a barrier does not flow together.
        if (kindOf(user) == OpKind::OptimizationBarrier && !batch.touches(user)) {
          reached.insert(user->getResult(use.getOperandNumber()));
          continue;
        }
        found.insert(user);
        reached.insert(user->result_begin(), user->result_end());
      }
    return found;
  }

  /// Cheap enough to run on the whole batch at once.
  bool isCheap(mlir::Operation *op) const {
    return op->getBlock() == &body && !isWhile(op) && !isBranch(op) && !isProduct(op) &&
           kindOf(op) != OpKind::OptimizationBarrier && isRemovable(op);
  }

  // --- What stands in the way ---

  MixingOp mixingOf(const BatchDims::End &end) const {
    mlir::Operation *decided = decidedBy(end.op);
    bool isStatistic = isCombination(end) && combinationOf(end.op) == ReductionKind::Add &&
                       end.op->getBlock() == &body && !decided;
    return {end.op, reasonOf(end, decided), isStatistic, decided};
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
      if (result.meetsBatch.contains(decider) && reached.contains(decider))
        return node.op;
    }
    return nullptr;
  }

  static std::string reasonOf(const BatchDims::End &end, mlir::Operation *decided) {
    if (decided)
      return (isWhile(decided) ? "it decides for all examples how often '"
                               : "it decides for all examples which branch of '") +
             decided->getName().getStringRef().str() + (isWhile(decided) ? "' runs" : "' is taken");
    if (isCombination(end))
      return "its sum over examples is used for each of them";
    if (end.kind == BatchEnd::Unknown)
      return "nothing is known of what it does with examples";
    return "it combines examples in another way than by a sum, product, minimum or maximum";
  }

  const OpGraph &graph;
  const BatchDims &batch;
  mlir::Block &body;
  llvm::DenseSet<mlir::Value> fromWeights;
  Meetings result;
};

ReductionKind combinationOf(mlir::Operation *op) {
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

Meetings Meetings::find(const OpGraph &graph, const BatchDims &batch) {
  return MeetingFinder(graph, batch).find();
}

} // namespace alpa
