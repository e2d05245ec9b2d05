// Computes live intervals; see the header.

#include "alpa/Analysis/Liveness.h"
#include "alpa/Analysis/RunOrder.h"
#include "alpa/IR/Stablehlo.h"
#include <map>

namespace alpa {
namespace {

/// Whether the results of `op` lie where its operands did: a view, or an update in place of a
/// buffer that nobody else reads (a constant is none).
bool isInPlace(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Reshape:
  case OpKind::OptimizationBarrier:
  case OpKind::ShardingConstraint:
    return true;
  case OpKind::DynamicUpdateSlice:
  case OpKind::Scatter:
    return op->getNumOperands() > 0 && op->getOperand(0).hasOneUse() && !updatesConstant(op);
  default:
    return false;
  }
}

/// Whether value `index` leaves the loop `op` as it came in: no copy of it is made.
bool isCarriedUnchanged(mlir::Operation *op, unsigned index) {
  return isWhile(op) && isLoopInvariant(whileBody(op).getArgument(index));
}

} // namespace

Liveness::Liveness(mlir::FunctionOpInterface func) : fused(func) {
  for (mlir::Operation *op : runOrder(func))
    count(op);
  // Uses come after what they use, so one sweep from the end knows the last use of every value that
  // another lives on as.
  for (mlir::Operation *op : llvm::reverse(ops)) {
    const Interval time = times.lookup(op);
    for (mlir::Value result : op->getResults()) {
      const int64_t last = lastUses[result] = lastUse(result);
      live[result] = {time.begin, std::max(time.end, last)};
    }
  }
  for (mlir::BlockArgument argument : func.getArguments())
    live[argument] = {0, isDonated(func, argument.getArgNumber()) ? lastUse(argument) : now};
}

void Liveness::count(mlir::Operation *op) {
  const int64_t begin = now++;
  ops.push_back(op);
  if (isWhile(op) || kindOf(op) == OpKind::Branch)
    for (mlir::Region &region : op->getRegions())
      for (mlir::Operation &nested : region.getOps())
        count(&nested);
  times[op] = {begin, now};
}

/// The result of `op` as which operand `index` lives on: under a new name, or to be computed with
/// again in the readers of a map.
mlir::Value Liveness::livesOnAs(mlir::Operation *op, unsigned index) const {
  if (isFusedAway(op))
    return op->getResult(0);
  const bool livesOn =
      index < op->getNumResults() && (isInPlace(op) || isCarriedUnchanged(op, index));
  return livesOn ? op->getResult(index) : mlir::Value();
}

/// Needs the last uses of all later values.
int64_t Liveness::lastUse(mlir::Value value) const {
  int64_t last = 0;
  for (mlir::OpOperand &use : value.getUses())
    last = std::max(last, intervalOf(use).end);
  return last;
}

/// Needs the last uses of all that the reader makes.
Interval Liveness::intervalOf(mlir::OpOperand &use) const {
  mlir::Operation *user = use.getOwner();
  const unsigned number = use.getOperandNumber();
  // What a nested op reads lives until the op around it, in the block of the value, is over.
  mlir::Operation *ancestor = use.get().getParentBlock()->findAncestorOpInBlock(*user);
  Interval interval = times.lookup(ancestor);
  if (user == ancestor && isWhile(user) && !isCarriedUnchanged(user, number))
    interval.end = interval.begin; // the loop takes it over
  if (mlir::Value other = livesOnAs(user, number))
    interval.end = std::max(interval.end, lastUses.lookup(other));
  return interval;
}

bool Liveness::needsMemory(mlir::Value value) const {
  auto result = llvm::dyn_cast<mlir::OpResult>(value);
  if (!result)
    return true;
  mlir::Operation *op = result.getOwner();
  return !isConstantLike(op) && !isFusedAway(op) && !isInPlace(op) &&
         !isCarriedUnchanged(op, result.getResultNumber());
}

int64_t Liveness::peakBytes() const {
  std::map<int64_t, int64_t> changes; // of the bytes in use, by time
  for (const auto &[value, interval] : live) {
    if (!needsMemory(value))
      continue;
    changes[interval.begin] += bytes(value.getType());
    changes[interval.end] -= bytes(value.getType());
  }
  int64_t used = 0, peak = 0;
  for (auto [time, change] : changes)
    peak = std::max(peak, used += change);
  return peak;
}

} // namespace alpa
