// Computes live intervals; see the header.

#include "alpa/Analysis/Liveness.h"
#include "alpa/IR/Stablehlo.h"
#include <map>

namespace alpa {
namespace {

/// Whether the results of `op` lie where its operands did: a view, or an update in place of a
/// buffer that nobody else reads.
bool isInPlace(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Reshape:
  case OpKind::OptimizationBarrier:
  case OpKind::ShardingConstraint:
    return true;
  case OpKind::DynamicUpdateSlice:
  case OpKind::Scatter:
    return op->getNumOperands() > 0 && op->getOperand(0).hasOneUse();
  default:
    return false;
  }
}

/// Whether value `index` leaves the loop `op` as it came in: no copy of it is made.
bool isCarriedUnchanged(mlir::Operation *op, unsigned index) {
  return isWhile(op) && isLoopInvariant(whileBody(op).getArgument(index));
}

/// Whether what operand `index` of `op` holds is still needed while result `index` is: under a new
/// name, or to be broadcast again.
bool livesOn(mlir::Operation *op, unsigned index) {
  if (index >= op->getNumResults())
    return false;
  return isInPlace(op) || isCarriedUnchanged(op, index) ||
         (kindOf(op) == OpKind::BroadcastInDim && isFusedAway(op));
}

/// Whether the buffer of an argument may be reused once it has been read for the last time.
bool isDonated(mlir::FunctionOpInterface func, unsigned argument) {
  return func.getArgAttr(argument, "tf.aliasing_output") ||
         func.getArgAttr(argument, "jax.buffer_donor");
}

} // namespace

bool isFusedAway(mlir::Operation *op) {
  const bool isBroadcast = kindOf(op) == OpKind::BroadcastInDim;
  if (!(isBroadcast || isElementwise(op)) || op->getNumResults() != 1 || op->use_empty() ||
      !(isBroadcast || op->getResult(0).hasOneUse()))
    return false;
  return llvm::all_of(op->getUsers(), [&](mlir::Operation *user) {
    return user->getBlock() == op->getBlock() && (isElementwise(user) || isReduction(user));
  });
}

Liveness::Liveness(mlir::FunctionOpInterface func) {
  count(func.getFunctionBody());
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

void Liveness::count(mlir::Region &region) {
  for (mlir::Block &block : region)
    for (mlir::Operation &op : block) {
      const int64_t begin = now++;
      ops.push_back(&op);
      if (isWhile(&op) || kindOf(&op) == OpKind::Branch)
        for (mlir::Region &nested : op.getRegions())
          count(nested);
      times[&op] = {begin, now};
    }
}

/// Needs the last uses of all later values.
int64_t Liveness::lastUse(mlir::Value value) const {
  int64_t last = 0;
  for (mlir::OpOperand &use : value.getUses()) {
    mlir::Operation *user = use.getOwner();
    const unsigned number = use.getOperandNumber();
    // What a nested op reads lives until the op around it, in the block of the value, is over.
    mlir::Operation *ancestor = value.getParentBlock()->findAncestorOpInBlock(*user);
    const bool isTakenOver = user == ancestor && isWhile(user) && !isCarriedUnchanged(user, number);
    const Interval time = times.lookup(ancestor);
    last = std::max(last, isTakenOver ? time.begin : time.end);
    if (livesOn(user, number))
      last = std::max(last, lastUses.lookup(user->getResult(number)));
  }
  return last;
}

bool Liveness::needsMemory(mlir::Value value) {
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
