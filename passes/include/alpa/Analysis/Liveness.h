// When values need memory, if ops run in the order of runOrder(): the one model of lifetimes, of
// the sharding problem and of whoever prints them.
#pragma once

#include "alpa/Analysis/FusedOps.h"
#include "core/sharding/ShardingProblem.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseMap.h"
#include <vector>

namespace alpa {

/// Time counts the ops of a function as they run, terminators included, those inside loops and
/// branches after the op that contains them.
///
/// A value exists from when its op begins (an argument from 0) until it was read for the last time,
/// at least while its op runs. What is read inside a loop or branch from outside is needed until
/// that ends. What the program returns, and arguments it does not give up, exist to the end.
///
/// Some values are no buffers of their own; what they stand for lives as long as they do:
///  - a value under a new name: of a reshape, barrier or sharding constraint, and what a loop
///    carries without changing it;
///  - a dynamic_update_slice or scatter into what nobody else reads, which is done in place;
///  - what XLA computes inside its readers (FusedOps).
/// What a loop changes has one buffer, that of the loop's result: what it starts from ends when the
/// loop begins. Constants, and what isConstantLike() makes of them, need no memory.
class Liveness {
public:
  /// Of a function with one block. Nothing here trusts ops to be well formed.
  explicit Liveness(mlir::FunctionOpInterface func);

  /// While `op` runs, with all that is nested in it.
  Interval timeOf(mlir::Operation *op) const { return times.lookup(op); }
  /// While a result of an op, or an argument of the function, exists.
  Interval intervalOf(mlir::Value value) const { return live.lookup(value); }
  /// While what `use` reads is needed for it, by the op in the block of the value.
  Interval intervalOf(mlir::OpOperand &use) const;
  int64_t end() const { return now; }
  bool needsMemory(mlir::Value value) const;
  bool isFusedAway(mlir::Operation *op) const { return fused.contains(op); }

  /// The most bytes in use at one time.
  int64_t peakBytes() const;

private:
  void count(mlir::Operation *op);
  int64_t lastUse(mlir::Value value) const;
  mlir::Value livesOnAs(mlir::Operation *op, unsigned index) const;

  FusedOps fused;
  std::vector<mlir::Operation *> ops; ///< as they run
  llvm::DenseMap<mlir::Operation *, Interval> times;
  llvm::DenseMap<mlir::Value, Interval> live;
  llvm::DenseMap<mlir::Value, int64_t> lastUses;
  int64_t now = 0;
};

} // namespace alpa
