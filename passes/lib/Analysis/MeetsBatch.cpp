// See the header.

#include "MeetsBatch.h"
#include "alpa/Analysis/VectorizedLoops.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {
namespace {

/// One sweep from the end of the program to its start.
class MeetsBatch {
public:
  MeetsBatch(const BatchDims &batch, const llvm::SetVector<mlir::Operation *> &after)
      : batch(batch), after(after) {}

  llvm::DenseSet<mlir::Value> take() { return std::move(found); }

  void sweep(mlir::Block &block) {
    for (mlir::Operation &op : llvm::reverse(block)) {
      if (isWhile(&op))
        sweepLoop(&op);
      else if (isBranch(&op))
        sweepBranch(&op);
      else if (&op != &block.back() || op.getNumResults() > 0)
        sweepOp(&op);
    }
  }

private:
  void sweepOp(mlir::Operation *op) {
    if (kindOf(op) == OpKind::OptimizationBarrier) { // what stands side by side does not meet
      for (auto [operand, value] : llvm::zip(op->getOperands(), op->getResults()))
        if (contains(value))
          add(operand);
      return;
    }
    bool readsBatch =
        llvm::any_of(op->getOperands(), [this](mlir::Value v) { return batch.carries(v); });
    if (!readsBatch && !anyOf(op->getResults()))
      return;
    if (after.contains(op))
      return;
    bool isEnd = !batch.anyResultCarries(op) && !anyOf(op->getResults());
    for (mlir::Value operand : op->getOperands())
      if (!isEnd || !isStart(op, operand))
        add(operand);
  }

  /// A sum over examples starts from it.
  static bool isStart(mlir::Operation *op, mlir::Value operand) {
    if (kindOf(op) == OpKind::Scatter)
      return llvm::is_contained(op->getOperands().take_front(op->getNumResults()), operand);
    return isReduction(op) &&
           llvm::is_contained(op->getOperands().take_back(op->getNumResults()), operand);
  }

  /// What the body returns is read after the loop and by the next iteration; what ends a loop over
  /// examples decides for all of them.
  void sweepLoop(mlir::Operation *op) {
    mlir::Block &condition = whileCondition(op).front(), &body = whileBody(op).front();
    if (isDecidedForExamples(op) && !endsPerExample(op))
      add(condition.back().getOperand(0));
    sweep(condition);
    size_t before;
    do {
      before = found.size();
      for (auto [i, returned] : llvm::enumerate(body.back().getOperands()))
        if (contains(op->getResult(i)) || argumentMeets(op, i))
          add(returned);
      sweep(body);
    } while (found.size() != before);
    for (auto [i, operand] : llvm::enumerate(op->getOperands()))
      if (argumentMeets(op, i))
        add(operand);
  }

  bool argumentMeets(mlir::Operation *op, unsigned i) const {
    return contains(whileCondition(op).getArgument(i)) || contains(whileBody(op).getArgument(i));
  }

  void sweepBranch(mlir::Operation *op) {
    if (isDecidedForExamples(op))
      add(op->getOperand(0));
    for (mlir::Region &region : op->getRegions())
      for (mlir::Block &block : region) {
        for (auto [value, returned] : llvm::zip(op->getResults(), block.back().getOperands()))
          if (contains(value))
            add(returned);
        sweep(block);
      }
  }

  /// A loop or branch that reads examples, or on whose results they depend.
  bool isDecidedForExamples(mlir::Operation *op) const {
    return anyOf(op->getResults()) || batch.touches(op);
  }

  bool contains(mlir::Value value) const { return found.contains(value); }
  bool anyOf(mlir::ValueRange values) const {
    return llvm::any_of(values, [this](mlir::Value value) { return contains(value); });
  }
  void add(mlir::Value value) {
    if (!batch.carries(value))
      found.insert(value);
  }

  const BatchDims &batch;
  const llvm::SetVector<mlir::Operation *> &after;
  llvm::DenseSet<mlir::Value> found;
};

} // namespace

llvm::DenseSet<mlir::Value> valuesMeetingBatch(const OpGraph &graph, const BatchDims &batch,
                                               const llvm::SetVector<mlir::Operation *> &after) {
  MeetsBatch meetsBatch(batch, after);
  meetsBatch.sweep(graph.function().getBody().front());
  return meetsBatch.take();
}

} // namespace alpa
