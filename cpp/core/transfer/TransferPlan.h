// Finds a transfer plan: slices are cut into parts, so that devices hand on what has come while the
// rest is on its way; of several cuts, shapes of routes and orders the fastest is the plan.
#pragma once

#include "core/transfer/TransferProblem.h"

namespace alpa {

/// Elements [begin, end) of a slice, in row-major order of its tile, go from device to device.
struct Send {
  int32_t slice = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int32_t sender = 0;
  int32_t receiver = 0;
  double startSeconds = 0;
};

struct TransferPlan {
  std::vector<Slice> slices;
  std::vector<Send> sends; ///< in the order in which they begin
  double makespanSeconds = 0;
  double boundSeconds = 0; ///< no plan is faster
  /// Whether no plan that cuts the slices alike is faster: it meets the bound, or all were tried.
  bool isOptimal = true;
  int64_t crossingBytes = 0;      ///< that go from node to node
  int64_t leastCrossingBytes = 0; ///< that must; a plan that is faster for it may send more
};

struct TransferOptions {
  int64_t maxParts = 64;           ///< of the largest slice
  int64_t maxSearchStates = 20000; ///< 0: no search
};

/// The problem must be checked.
TransferPlan planTransfer(const TransferProblem &problem, const TransferOptions &options = {});

/// The sends in their order, each as soon as its links are free and its sender has the data: when
/// they begin, and when the last arrives. Throws std::invalid_argument where a sender never has it.
double timeSends(const TransferProblem &problem, const std::vector<Slice> &slices,
                 std::vector<Send> &sends);

} // namespace alpa
