// Which buffers exist when, if ops run in program order: the memory model of the sharding problem
// and of stages.
#pragma once

#include "alpa/Analysis/OpGraph.h"

namespace alpa {

/// A buffer exists while nodes `first` to `last` (inclusive) run; never, if `last` is before
/// `first`. Arguments exist from 0. What the program returns, and arguments it does not give up,
/// exist to the end, graph.size() - 1.
struct LiveInterval {
  mlir::Value value; ///< the first value it holds
  int first = 0, last = 0;
  int64_t bytes = 0;
};

/// Several values share a buffer where no implementation would copy: reshapes, barriers, sharding
/// constraints, and the values a loop carries without changing them.
///
/// A buffer written anew in place of another (an argument given up for a result by
/// `tf.aliasing_output`, the operand of a dynamic_update_slice or scatter, what a loop carries from
/// one iteration to the next) has an interval of its own, and the old one ends right before it. A
/// value used inside a loop from outside exists until the loop ends. Constants, and what
/// isConstantLike() makes of them, need no memory.
class Liveness {
public:
  explicit Liveness(const OpGraph &graph);

  /// Arguments first, then in program order.
  llvm::ArrayRef<LiveInterval> intervals() const { return all; }
  /// The buffer that holds `value`.
  const LiveInterval &intervalOf(mlir::Value value) const { return all[buffers.at(value)]; }
  /// Bytes in use while node `index` runs.
  llvm::ArrayRef<int64_t> bytesInUse() const { return inUse; }
  int64_t peakBytes() const;

private:
  friend class LivenessBuilder;
  std::vector<LiveInterval> all;
  llvm::DenseMap<mlir::Value, int> buffers;
  std::vector<int64_t> inUse;
};

} // namespace alpa
