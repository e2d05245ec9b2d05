// When the hops of a transfer happen: list scheduling, and for few hops the best of all orders.
#pragma once

#include "core/transfer/TransferRoutes.h"

namespace alpa {

struct TimedHop {
  int32_t part = 0;
  int32_t sender = 0;
  int32_t receiver = 0;
  double startSeconds = 0;
};

/// Hops in the order in which they begin.
struct HopSchedule {
  std::vector<TimedHop> hops;
  double makespanSeconds = 0;
};

/// Which of two hops that could begin at the same time goes first.
enum class HopRule {
  LongestTail, ///< the one with the longest way behind it
  BusiestLink, ///< the one with a link that still has most to carry
};

/// Begins whatever can begin first, without ever waiting for what is better.
HopSchedule scheduleHops(const TransferNetwork &network, const std::vector<Part> &parts,
                         const std::vector<Hop> &hops, HopRule rule);

struct HopSearch {
  HopSchedule best;      ///< without hops where none is faster than what was known
  bool isProven = false; ///< whether all were tried: none is faster than the best, or the known
};

/// The fastest of all ways to bring the parts to those that want them: every sender that has a part
/// by then, every order. Devices that do not want a part hand nothing on. Branch and bound; gives
/// up after `maxStates`.
HopSearch searchHops(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
                     const std::vector<Part> &parts, double knownSeconds, int64_t maxStates);

} // namespace alpa
