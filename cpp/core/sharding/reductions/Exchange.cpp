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

void ManyExchanges::take(const ReducibleProblem::EdgeEnd &end, int32_t numStrategies) {
  numTheirs = end.numTheirs;
  numWords = (numTheirs + 63) / 64;
  costs.resize(numStrategies * numTheirs);
  lost.resize(numStrategies * numTheirs);
  isAllowed.assign(numStrategies * numWords, 0);
  for (int64_t own = 0, at = 0; own < numStrategies; ++own)
    for (int64_t q = 0; q < numTheirs; ++q, ++at) {
      const int64_t cost = end.cost(own, q);
      costs[at] = std::min(cost, kBlocked);
      lost[at] = cost >= kBlocked ? 2 * kBlocked : cost;
      if (cost < kBlocked)
        isAllowed[own * numWords + q / 64] |= uint64_t{1} << (q % 64);
    }
}

int64_t ManyExchanges::cost(int64_t from, int64_t to) const {
  const uint64_t *before = &isAllowed[from * numWords], *after = &isAllowed[to * numWords];
  for (int64_t w = 0; w < numWords; ++w)
    if (before[w] & ~after[w])
      return kImpossible;
  const int64_t *fromCosts = &lost[from * numTheirs], *toCosts = &costs[to * numTheirs];
  int64_t most = -kImpossible;
  for (int64_t q = 0; q < numTheirs; ++q)
    most = std::max(most, toCosts[q] - fromCosts[q]);
  return most;
}

bool fitsWhere(const ReducibleProblem::Node &node, int32_t from, int32_t to) {
  return std::all_of(node.segments.begin(), node.segments.end(), [&](const UsageSegment &segment) {
    return segment.usages[to] <= segment.usages[from];
  });
}

} // namespace alpa
