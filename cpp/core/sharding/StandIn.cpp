#include "core/sharding/StandIn.h"

#include <algorithm>

namespace alpa {
namespace {

/// One entry in so many is no accident.
constexpr int64_t kLeastShare = 100;

} // namespace

std::optional<int64_t> findStandIn(const ShardingProblem &problem) {
  int64_t largest = 0, numLargest = 0, numEntries = 0;
  auto count = [&](const std::vector<int64_t> &costs) {
    numEntries += static_cast<int64_t>(costs.size());
    for (int64_t cost : costs) {
      if (cost >= kForbiddenCost || cost < largest)
        continue;
      numLargest = cost == largest ? numLargest + 1 : 1;
      largest = cost;
    }
  };
  for (const ShardingNode &node : problem.nodes)
    count(node.costs);
  for (const ShardingEdge &edge : problem.edges)
    count(edge.costs);
  bool isEverywhere = largest > 0 && numLargest * kLeastShare >= numEntries;
  return isEverywhere ? std::optional<int64_t>(largest) : std::nullopt;
}

void forbidFrom(ReducibleProblem &problem, int64_t cost) {
  CoreProblem core = problem.core();
  problem.blockStrategies([&](int64_t position) { return core.nodeCosts[position] >= cost; });
  problem.blockPairs([&](int64_t position) { return core.edgeCosts[position] >= cost; });
}

} // namespace alpa
