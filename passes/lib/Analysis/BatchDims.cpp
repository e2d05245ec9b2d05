// Follows the batch dim through sharding rules; see the header.

#include "alpa/Analysis/BatchDims.h"
#include "alpa/Analysis/BatchFactor.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/OpRules.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/BuiltinTypes.h"
#include <tuple>

namespace alpa {

bool operator==(const BatchDim &a, const BatchDim &b) {
  return std::tie(a.dim, a.size, a.minor) == std::tie(b.dim, b.size, b.minor);
}

/// One walk over the program in order; loops are walked again while they carry more than before.
class BatchFollower {
public:
  BatchFollower(const OpGraph &graph, BatchDims &result) : graph(graph), result(result) {}

  llvm::LogicalResult run() {
    mlir::func::FuncOp function = graph.function();
    for (mlir::BlockArgument argument : function.getArguments()) {
      if (!function.getArgAttr(argument.getArgNumber(), kBatchAttr))
        continue;
      auto type = llvm::dyn_cast<mlir::RankedTensorType>(argument.getType());
      if (!type || type.getRank() == 0 || type.isDynamicDim(0))
        return function.emitError("expected a tensor with a static dim 0 as batch argument ")
               << argument.getArgNumber() << ", got " << argument.getType();
      result.dims[argument] = {0, type.getDimSize(0), 1};
    }
    if (mlir::failed(follow(function.getBody().front())))
      return mlir::failure();
    for (const OpNode &node : graph.nodes())
      if (auto end = ends.find(node.op); end != ends.end())
        result.allEnds.push_back({node.op, end->second});
    return mlir::success();
  }

private:
  llvm::LogicalResult follow(mlir::Block &block) {
    for (mlir::Operation &op : block) {
      if (graph.indexOf(&op) < 0)
        continue;
      if (mlir::failed(isWhile(&op)    ? followLoop(&op)
                       : isBranch(&op) ? followBranch(&op)
                                       : followOp(&op)))
        return mlir::failure();
    }
    return mlir::success();
  }

  /// Carried values gain batch dims and never lose them, so this ends after as many rounds as a
  /// batch dim needs to pass from one carried value to all others; in practice two.
  llvm::LogicalResult followLoop(mlir::Operation *op) {
    mlir::Block &condition = whileCondition(op).front(), &body = whileBody(op).front();
    auto carry = [&](mlir::ValueRange from) {
      bool changed = false;
      for (auto [i, value] : llvm::enumerate(from)) {
        std::optional<BatchDim> dim = result.of(value);
        if (!dim)
          continue;
        changed |= set(body.getArgument(i), *dim, op);
        set(condition.getArgument(i), *dim, op);
        set(op->getResult(i), *dim, op);
      }
      return changed;
    };
    carry(op->getOperands());
    do
      if (mlir::failed(follow(body)))
        return mlir::failure();
    while (carry(body.back().getOperands()));
    return follow(condition);
  }

  llvm::LogicalResult followBranch(mlir::Operation *op) {
    for (mlir::Region &region : op->getRegions())
      for (mlir::Block &block : region) {
        if (mlir::failed(follow(block)))
          return mlir::failure();
        for (auto [value, returned] : llvm::zip(op->getResults(), block.back().getOperands()))
          if (std::optional<BatchDim> dim = result.of(returned))
            set(value, *dim, op);
      }
    if (result.carries(op->getOperand(0)))
      ends[op] = BatchEnd::Mixed;
    return mlir::success();
  }

  llvm::LogicalResult followOp(mlir::Operation *op) {
    if (llvm::none_of(op->getOperands(), [&](mlir::Value v) { return result.carries(v); }))
      return mlir::success();
    if (!hasRule(op)) {
      ends[op] = BatchEnd::Unknown;
      return mlir::success();
    }
    mlir::FailureOr<ShardingRule> rule = ruleFor(op);
    if (mlir::failed(rule))
      return mlir::failure();
    llvm::SmallVector<BatchFactor, 2> found;
    for (auto [dims, operand] : llvm::zip(rule->operands, op->getOperands()))
      if (std::optional<BatchDim> batch = result.of(operand)) {
        std::optional<BatchFactor> factor = batchFactor(*rule, dims, *batch);
        if (!factor)
          ends[op] = BatchEnd::Unknown;
        else if (!llvm::is_contained(found, *factor))
          found.push_back(*factor);
      }
    for (const BatchFactor &batch : found)
      apply(op, *rule, batch);
    // Two batches meet in one op (a product of the batch with itself), unless it only passes them
    // on side by side.
    if (found.size() > 1 && kindOf(op) != OpKind::OptimizationBarrier)
      ends[op] = BatchEnd::Mixed;
    return mlir::success();
  }

  /// The results' dims that have the factor count examples; where there is none, or where the
  /// factor may not be split, the batch ends.
  void apply(mlir::Operation *op, const ShardingRule &rule, const BatchFactor &batch) {
    FactorKind kind = rule.factorKinds[batch.factor];
    if (kind != FactorKind::PassThrough) {
      ends[op] = kind == FactorKind::Reduction ? BatchEnd::Reduced : BatchEnd::Mixed;
      return;
    }
    for (auto [dims, value] : llvm::zip(rule.results, op->getResults()))
      for (const BatchDim &dim : batchDims(rule, dims, batch))
        set(value, dim, op);
  }

  /// True if `value` had no batch dim yet. One that has another keeps it.
  bool set(mlir::Value value, BatchDim dim, mlir::Operation *op) {
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
    if (!type || dim.dim >= type.getRank())
      return false; // a loop that carries a value of another type into its body than out of it
    auto [entry, isNew] = result.dims.try_emplace(value, dim);
    if (!isNew && !(entry->second == dim))
      ends[op] = BatchEnd::Mixed;
    return isNew;
  }

  const OpGraph &graph;
  BatchDims &result;
  llvm::DenseMap<mlir::Operation *, BatchEnd> ends;
};

mlir::FailureOr<BatchDims> BatchDims::compute(const OpGraph &graph) {
  BatchDims result;
  if (mlir::failed(BatchFollower(graph, result).run()))
    return mlir::failure();
  return result;
}

std::optional<BatchDim> BatchDims::of(mlir::Value value) const {
  auto found = dims.find(value);
  return found == dims.end() ? std::nullopt : std::optional<BatchDim>(found->second);
}

bool BatchDims::anyResultCarries(mlir::Operation *op) const {
  return llvm::any_of(op->getResults(), [this](mlir::Value value) { return carries(value); });
}

} // namespace alpa
