// One sweep in program order; loops are swept again while they carry more than before.

#include "alpa/Analysis/Dependence.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {
namespace {

class Sweep {
public:
  Sweep(llvm::DenseSet<mlir::Value> &found, const llvm::SetVector<mlir::Operation *> &stops)
      : found(found), stops(stops) {}

  void block(mlir::Block &block) {
    for (mlir::Operation &op : block) {
      if (stops.contains(&op))
        continue;
      if (isWhile(&op))
        loop(&op);
      else if (isBranch(&op))
        branch(&op);
      else if (kindOf(&op) == OpKind::OptimizationBarrier)
        barrier(&op);
      else if (anyOf(op.getOperands()))
        add(op.getResults());
    }
  }

private:
  /// Result i is operand i; what stands side by side in a barrier does not flow together.
  void barrier(mlir::Operation *op) {
    for (auto [operand, value] : llvm::zip(op->getOperands(), op->getResults()))
      if (found.contains(operand))
        found.insert(value);
  }

  void loop(mlir::Operation *op) {
    mlir::Block &condition = whileCondition(op).front(), &body = whileBody(op).front();
    auto carry = [&](mlir::ValueRange from) {
      bool changed = false;
      for (auto [i, value] : llvm::enumerate(from))
        if (found.contains(value)) {
          changed |= found.insert(body.getArgument(i)).second;
          add({condition.getArgument(i), op->getResult(i)});
        }
      return changed;
    };
    carry(op->getOperands());
    do
      block(body);
    while (carry(body.back().getOperands()));
    block(condition);
    if (!anyOf(condition.back().getOperands()))
      return;
    for (auto [value, argument] : llvm::zip(op->getResults(), body.getArguments()))
      if (!isLoopInvariant(argument)) // the same however often the loop runs
        add(value);
  }

  void branch(mlir::Operation *op) {
    bool isChosen = anyOf(op->getOperands());
    for (mlir::Region &region : op->getRegions())
      for (mlir::Block &inner : region) {
        block(inner);
        for (auto [value, returned] : llvm::zip(op->getResults(), inner.back().getOperands()))
          if (isChosen || found.contains(returned))
            found.insert(value);
      }
  }

  bool anyOf(mlir::ValueRange values) const {
    return llvm::any_of(values, [this](mlir::Value value) { return found.contains(value); });
  }
  void add(mlir::ValueRange values) { found.insert(values.begin(), values.end()); }

  llvm::DenseSet<mlir::Value> &found;
  const llvm::SetVector<mlir::Operation *> &stops;
};

} // namespace

llvm::DenseSet<mlir::Value> dependents(const OpGraph &graph, llvm::ArrayRef<mlir::Value> seeds,
                                       const llvm::SetVector<mlir::Operation *> &stops) {
  llvm::DenseSet<mlir::Value> found(seeds.begin(), seeds.end());
  Sweep(found, stops).block(graph.function().getBody().front());
  return found;
}

llvm::DenseSet<mlir::Value> dependentsIn(mlir::Block &block, llvm::ArrayRef<mlir::Value> seeds) {
  llvm::DenseSet<mlir::Value> found(seeds.begin(), seeds.end());
  const llvm::SetVector<mlir::Operation *> none;
  Sweep(found, none).block(block);
  return found;
}

} // namespace alpa
