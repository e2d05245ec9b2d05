// Tells parameters from optimizer state by whether the batch meets them; see BatchDims.h.

#include "alpa/Analysis/BatchDims.h"
#include "alpa/Analysis/VectorizedLoops.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/BuiltinTypes.h"

namespace alpa {
namespace {

/// One sweep from the end of the program to its start.
class MeetsBatch {
public:
  explicit MeetsBatch(const BatchDims &batch) : batch(batch) {}

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
    if (mayRunAfterBatch(op, batch, found))
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
  llvm::DenseSet<mlir::Value> found;
};

bool isFloating(mlir::Type type) {
  mlir::Type element = mlir::getElementTypeOrSelf(type);
  return llvm::isa<mlir::FloatType, mlir::ComplexType>(element);
}

} // namespace

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

bool mayRunAfterBatch(mlir::Operation *op, const BatchDims &batch,
                      const llvm::DenseSet<mlir::Value> &meetsBatch) {
  std::optional<BatchEnd> end = batch.endIn(op);
  bool isCombination = end == BatchEnd::Reduced && combinationOf(op) != ReductionKind::None;
  bool isPlain = llvm::isa_and_nonnull<mlir::func::FuncOp>(op->getParentOp()) && !isWhile(op) &&
                 !isBranch(op) && isRemovable(op);
  return end && !isCombination && isPlain &&
         llvm::none_of(op->getResults(), [&](mlir::Value value) {
           return batch.carries(value) || meetsBatch.contains(value);
         });
}

llvm::DenseSet<mlir::Value> valuesMeetingBatch(const OpGraph &graph, const BatchDims &batch) {
  MeetsBatch meetsBatch(batch);
  meetsBatch.sweep(graph.function().getBody().front());
  return meetsBatch.take();
}

std::vector<ArgumentRole> argumentRoles(const OpGraph &graph, const BatchDims &batch) {
  mlir::func::FuncOp function = graph.function();
  llvm::DenseSet<mlir::Value> meetsBatch = valuesMeetingBatch(graph, batch);
  std::vector<ArgumentRole> roles;
  for (mlir::BlockArgument argument : function.getArguments()) {
    unsigned number = argument.getArgNumber();
    bool isTrained = isFloating(argument.getType()) && meetsBatch.contains(argument);
    roles.push_back(function.getArgAttr(number, kBatchAttr)    ? ArgumentRole::Batch
                    : !function.getArgAttr(number, kStateAttr) ? ArgumentRole::Other
                    : isTrained                                ? ArgumentRole::Parameter
                                                               : ArgumentRole::OptimizerState);
  }
  return roles;
}

} // namespace alpa
