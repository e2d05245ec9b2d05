#include "core/sharding/reductions/Exchange.h"

#include <algorithm>

namespace alpa {

int64_t exchangeCost(const ReducibleProblem::EdgeEnd &end, int32_t from, int32_t to) {
  const int64_t *costs = end.edge.costs.data();
  const int64_t *fromCosts = costs + from * end.ownStride, *toCosts = costs + to * end.ownStride;
  int64_t most = -kImpossible;
  for (int64_t q = 0, at = 0; q < end.numTheirs; ++q, at += end.otherStride) {
    if (fromCosts[at] >= kBlocked)
      continue;
    if (toCosts[at] >= kBlocked)
      return kImpossible;
    most = std::max(most, toCosts[at] - fromCosts[at]);
  }
  return most;
}

bool fitsWhere(const ReducibleProblem::Node &node, int32_t from, int32_t to) {
  return std::all_of(node.segments.begin(), node.segments.end(), [&](const UsageSegment &segment) {
    return segment.usages[to] <= segment.usages[from];
  });
}

} // namespace alpa
