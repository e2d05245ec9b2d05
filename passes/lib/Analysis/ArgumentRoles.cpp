// Tells parameters from optimizer state by whether the batch meets them; see BatchDims.h.

#include "alpa/Analysis/BatchDims.h"
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
    bool readsBatch =
        llvm::any_of(op->getOperands(), [this](mlir::Value v) { return batch.carries(v); });
    bool meets = batch.anyResultCarries(op) ? readsBatch : anyOf(op->getResults());
    if (meets)
      for (mlir::Value operand : op->getOperands())
        add(operand);
  }

  /// What the body returns is read after the loop and by the next iteration.
  void sweepLoop(mlir::Operation *op) {
    mlir::Block &condition = whileCondition(op).front(), &body = whileBody(op).front();
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
    for (mlir::Region &region : op->getRegions())
      for (mlir::Block &block : region) {
        for (auto [value, returned] : llvm::zip(op->getResults(), block.back().getOperands()))
          if (contains(value))
            add(returned);
        sweep(block);
      }
    if (anyOf(op->getResults()))
      add(op->getOperand(0));
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
