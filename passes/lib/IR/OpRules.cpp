// Sharding rules: Shardy's, checked against the op, and our own for the ops it leaves out.

#include "alpa/IR/OpRules.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/BuiltinTypes.h"

namespace alpa {
namespace {

/// The sizes of a tensor's dims; none for anything that is not a tensor.
llvm::ArrayRef<int64_t> shapeOf(mlir::Value value) {
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return tensor ? tensor.getShape() : llvm::ArrayRef<int64_t>();
}

/// Every dim of `value` its own new factor.
ShardingRule::TensorFactors newFactors(ShardingRule &rule, mlir::Value value) {
  ShardingRule::TensorFactors dims;
  for (int64_t size : shapeOf(value))
    dims.push_back({rule.addFactor(size)});
  return dims;
}

/// All values have the same shape and share its factors; scalars beside them (the bounds of clamp)
/// have none.
mlir::FailureOr<ShardingRule> elementwiseRule(mlir::Operation *op) {
  if (op->getNumResults() != 1)
    return mlir::failure();
  ShardingRule rule;
  ShardingRule::TensorFactors dims = newFactors(rule, op->getResult(0));
  for (mlir::Value operand : op->getOperands()) {
    bool isScalar = shapeOf(operand).empty();
    if (!isScalar && shapeOf(operand) != shapeOf(op->getResult(0)))
      return mlir::failure();
    rule.operands.push_back(isScalar ? ShardingRule::TensorFactors() : dims);
  }
  rule.results.push_back(dims);
  return rule;
}

/// Result i is operand i; different operands have nothing in common.
mlir::FailureOr<ShardingRule> barrierRule(mlir::Operation *op) {
  if (op->getNumResults() != op->getNumOperands())
    return mlir::failure();
  ShardingRule rule;
  for (mlir::Value operand : op->getOperands())
    rule.operands.push_back(newFactors(rule, operand));
  rule.results = rule.operands;
  return rule;
}

/// top_k and its like pick along the last dim, row by row.
mlir::FailureOr<ShardingRule> topKRule(mlir::Operation *op) {
  if (op->getNumOperands() != 1 || shapeOf(op->getOperand(0)).empty())
    return mlir::failure();
  ShardingRule rule;
  ShardingRule::TensorFactors dims = newFactors(rule, op->getOperand(0));
  rule.factorKinds.back() = FactorKind::NeedReplication;
  for (mlir::Value result : op->getResults())
    if (shapeOf(result).size() != dims.size())
      return mlir::failure();
  rule.operands.push_back(dims);
  rule.results.assign(op->getNumResults(), dims);
  return rule;
}

mlir::FailureOr<ShardingRule> ownRule(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Elementwise:
    return elementwiseRule(op);
  case OpKind::OptimizationBarrier:
    return barrierRule(op);
  case OpKind::TopK:
    return topKRule(op);
  default:
    return mlir::failure();
  }
}

/// A factor is in one dim of a tensor at most, and once: no device has a diagonal.
bool usesFactorsOnce(const ShardingRule &rule) {
  for (const auto *tensors : {&rule.operands, &rule.results})
    for (const auto &dims : *tensors) {
      std::vector<bool> isUsed(rule.numFactors());
      for (const auto &dim : dims)
        for (int factor : dim) {
          if (isUsed[factor])
            return false;
          isUsed[factor] = true;
        }
    }
  return true;
}

bool fits(llvm::ArrayRef<ShardingRule::TensorFactors> tensors, mlir::ValueRange values) {
  if (tensors.size() != values.size())
    return false;
  for (auto [dims, value] : llvm::zip(tensors, values))
    if (dims.size() != shapeOf(value).size())
      return false;
  return true;
}

std::vector<bool> factorsIn(llvm::ArrayRef<ShardingRule::TensorFactors> tensors, int numFactors) {
  std::vector<bool> found(numFactors);
  for (const auto &dims : tensors)
    for (const auto &dim : dims)
      for (int factor : dim)
        found[factor] = true;
  return found;
}

void replicateUselessFactors(ShardingRule &rule, bool isCustomCall) {
  std::vector<bool> inOperands = factorsIn(rule.operands, rule.numFactors());
  std::vector<bool> inResults = factorsIn(rule.results, rule.numFactors());
  for (int factor = 0; factor < rule.numFactors(); ++factor)
    if (rule.factorKinds[factor] == FactorKind::PassThrough &&
        (!inResults[factor] || (isCustomCall && !inOperands[factor])))
      rule.factorKinds[factor] = FactorKind::NeedReplication;
}

/// What is summed over is gone.
bool reducesIntoResults(const ShardingRule &rule) {
  std::vector<bool> inResults = factorsIn(rule.results, rule.numFactors());
  for (int factor = 0; factor < rule.numFactors(); ++factor)
    if (inResults[factor] && rule.factorKinds[factor] == FactorKind::Reduction)
      return true;
  return false;
}

/// XLA turns a scatter of one update into a dynamic_update_slice, and on devices that do not own
/// the updated row may read another one for it (a dynamic_slice of a dynamic_slice is merged
/// without clamping): the rows must not be split. Seen up to jaxlib 0.10.2. One update of each row
/// of a batching dim stays a scatter.
void replicateRowsOfSingleUpdate(ShardingRule &rule, mlir::Operation *op) {
  if (kindOf(op) != OpKind::Scatter || rule.operands.size() != 3)
    return;
  std::vector<bool> inInput = factorsIn(rule.operands.front(), rule.numFactors());
  std::vector<bool> inIndices = factorsIn(rule.operands[1], rule.numFactors());
  std::vector<bool> inUpdates = factorsIn(rule.operands.back(), rule.numFactors());
  int64_t numUpdates = 1;
  for (int factor = 0; factor < rule.numFactors(); ++factor)
    if (inUpdates[factor] && inIndices[factor])
      numUpdates *= rule.factorSizes[factor];
  if (numUpdates > 1)
    return;
  for (int factor = 0; factor < rule.numFactors(); ++factor)
    if (inInput[factor] && !inUpdates[factor])
      rule.factorKinds[factor] = FactorKind::NeedReplication;
}

} // namespace

bool hasRule(mlir::Operation *op) {
  return op->hasAttr(kShardingRuleAttr) || mlir::succeeded(ownRule(op));
}

mlir::FailureOr<ShardingRule> ruleFor(mlir::Operation *op) {
  mlir::Attribute attr = op->getAttr(kShardingRuleAttr);
  if (!attr)
    return ownRule(op);
  mlir::FailureOr<ShardingRule> rule =
      parseShardingRule(attr, [op] { return op->emitOpError("has a malformed sharding rule: "); });
  if (mlir::failed(rule))
    return mlir::failure();
  if (!fits(rule->operands, op->getOperands()) || !fits(rule->results, op->getResults())) {
    op->emitOpError("expected a sharding rule with the ranks of its operands and results, got '")
        << print(*rule) << "'";
    return mlir::failure();
  }
  if (!usesFactorsOnce(*rule)) {
    op->emitOpError("expected a sharding rule with each factor at most once in a tensor, got '")
        << print(*rule) << "'";
    return mlir::failure();
  }
  if (reducesIntoResults(*rule)) {
    op->emitOpError("expected a sharding rule whose reduction factors are in no result, got '")
        << print(*rule) << "'";
    return mlir::failure();
  }
  replicateUselessFactors(*rule, kindOf(op) == OpKind::CustomCall);
  replicateRowsOfSingleUpdate(*rule, op);
  return rule;
}

} // namespace alpa
