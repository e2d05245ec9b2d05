#include "core/sharding/StandIn.h"

#include "core/sharding/CoreProblem.h"
#include <algorithm>

namespace alpa {
namespace {

/// One entry in so many is no accident.
constexpr int64_t kLeastShare = 100;

/// Solvers move costs between tables and halve kBlocked to tell dead entries: room for both.
constexpr int64_t kMaxSum = kBlocked >> 4;

template <typename Visit> void forEachTable(const ShardingProblem &problem, Visit visit) {
  for (const ShardingNode &node : problem.nodes)
    visit(node.costs);
  for (const ShardingEdge &edge : problem.edges)
    visit(edge.costs);
}

/// Whether costs below `ceiling`, one from each table, always add up to less than kMaxSum.
bool isSummable(const ShardingProblem &problem, int64_t ceiling) {
  int64_t total = 0;
  bool fits = true;
  forEachTable(problem, [&](const std::vector<int64_t> &costs) {
    int64_t largest = 0;
    for (int64_t cost : costs)
      if (cost < ceiling)
        largest = std::max(largest, cost);
    fits = fits && largest < kMaxSum - total;
    total += fits ? largest : 0;
  });
  return fits;
}

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
  forEachTable(problem, count);
  bool isEverywhere = largest > 0 && numLargest * kLeastShare >= numEntries;
  return isEverywhere ? std::optional<int64_t>(largest) : std::nullopt;
}

std::optional<int64_t> findUnsummable(const ShardingProblem &problem) {
  if (isSummable(problem, kForbiddenCost))
    return std::nullopt;
  int64_t summable = 0, ceiling = kForbiddenCost; // between them lies the answer
  while (ceiling - summable > 1) {
    const int64_t middle = summable + (ceiling - summable) / 2;
    (isSummable(problem, middle) ? summable : ceiling) = middle;
  }
  return summable;
}

} // namespace alpa
