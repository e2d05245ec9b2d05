#include "core/sharding/search/Neighbourhood.h"

#include <algorithm>

namespace alpa {
namespace {

/// Same numbers on every machine, unlike std::uniform_int_distribution.
int32_t randomBelow(int32_t end, std::mt19937_64 &random) {
  return static_cast<int32_t>(random() % end);
}

/// Adds the rows that the region touches, and its segments in them.
void addMemory(const CoreGraph &graph, const Assignment &assignment, const Region &region,
               CoreProblem &part) {
  const CoreProblem &core = graph.core;
  std::vector<int32_t> newRow(core.numRows() + 1, 0);
  for (int32_t n : region)
    for (int32_t s = graph.segmentsBegin(n); s < graph.segmentsBegin(n + 1); ++s)
      std::fill(newRow.begin() + core.segmentBegin[s], newRow.begin() + core.segmentEnd[s], 1);
  int32_t numRows = 0;
  for (int32_t r = 0; r <= core.numRows(); ++r) {
    bool isTouched = newRow[r];
    newRow[r] = numRows;
    if (!isTouched)
      continue;
    part.rowTimes.push_back(core.rowTimes[r]);
    part.rowCapacities.push_back(core.rowCapacities[r] - assignment.rowUsage()[r]);
    ++numRows;
  }
  for (size_t i = 0; i < region.size(); ++i) {
    int32_t n = region[i];
    for (int32_t s = graph.segmentsBegin(n); s < graph.segmentsBegin(n + 1); ++s) {
      auto usages = core.segmentUsages.begin() + core.segmentOffsets[s];
      part.segmentNode.push_back(static_cast<int32_t>(i));
      part.segmentBegin.push_back(newRow[core.segmentBegin[s]]);
      part.segmentEnd.push_back(newRow[core.segmentEnd[s]]);
      part.segmentUsages.insert(part.segmentUsages.end(), usages, usages + graph.numStrategies(n));
      part.segmentOffsets.push_back(static_cast<int64_t>(part.segmentUsages.size()));
      for (int32_t r = part.segmentBegin.back(); r < part.segmentEnd.back(); ++r)
        part.rowCapacities[r] += usages[assignment.choices()[n]];
    }
  }
}

} // namespace

CoreProblem restrictTo(const CoreGraph &graph, const Assignment &assignment, const Region &region) {
  const CoreProblem &core = graph.core;
  const std::vector<int32_t> &chosen = assignment.choices();
  std::vector<int32_t> position(core.numNodes(), -1);
  for (size_t i = 0; i < region.size(); ++i)
    position[region[i]] = static_cast<int32_t>(i);
  CoreProblem part;
  for (int32_t n : region) {
    for (int32_t p = 0; p < graph.numStrategies(n); ++p) {
      int64_t cost = core.nodeCosts[core.nodeOffsets[n] + p];
      for (const CoreGraph::Side &side : graph.sides(n))
        if (position[side.other] < 0)
          cost = addCosts(cost, graph.edgeCost(side, n, p, chosen[side.other]));
      part.nodeCosts.push_back(cost);
    }
    part.nodeOffsets.push_back(static_cast<int64_t>(part.nodeCosts.size()));
  }
  for (int32_t n : region)
    for (const CoreGraph::Side &side : graph.sides(n)) {
      if (!side.isFirst || position[side.other] < 0)
        continue;
      part.edgeFirst.push_back(position[n]);
      part.edgeSecond.push_back(position[side.other]);
      part.edgeCosts.insert(part.edgeCosts.end(),
                            core.edgeCosts.begin() + core.edgeOffsets[side.edge],
                            core.edgeCosts.begin() + core.edgeOffsets[side.edge + 1]);
      part.edgeOffsets.push_back(static_cast<int64_t>(part.edgeCosts.size()));
    }
  addMemory(graph, assignment, region, part);
  return part;
}

CoreProblem memoryProblem(const CoreGraph &graph, const Assignment &assignment,
                          const Region &region, int32_t row) {
  CoreProblem part = restrictTo(graph, assignment, region);
  auto rowTime = std::find(part.rowTimes.begin(), part.rowTimes.end(), graph.core.rowTimes[row]);
  auto partRow = static_cast<int32_t>(rowTime - part.rowTimes.begin());
  for (int64_t &cost : part.nodeCosts)
    cost = cost < kBlocked ? 0 : kBlocked;
  for (int64_t &cost : part.edgeCosts)
    cost = cost < kBlocked ? 0 : kBlocked;
  std::vector<int64_t> used(part.rowCapacities.size(), 0);
  for (size_t s = 0; s < part.segmentNode.size(); ++s) {
    int32_t i = part.segmentNode[s];
    const int64_t *usages = part.segmentUsages.data() + part.segmentOffsets[s];
    for (int32_t r = part.segmentBegin[s]; r < part.segmentEnd[s]; ++r)
      used[r] += usages[assignment.choices()[region[i]]];
    if (part.segmentBegin[s] <= partRow && partRow < part.segmentEnd[s])
      for (int64_t at = part.nodeOffsets[i]; at < part.nodeOffsets[i + 1]; ++at)
        part.nodeCosts[at] = addCosts(part.nodeCosts[at], usages[at - part.nodeOffsets[i]]);
  }
  for (size_t r = 0; r < used.size(); ++r)
    part.rowCapacities[r] = std::max(part.rowCapacities[r], used[r]);
  return part;
}

int64_t regionCost(const CoreGraph &graph, const Assignment &assignment, const Region &region) {
  const std::vector<int32_t> &chosen = assignment.choices();
  std::vector<bool> isInside(graph.core.numNodes(), false);
  for (int32_t n : region)
    isInside[n] = true;
  int64_t cost = 0;
  for (int32_t n : region) {
    cost = addCosts(cost, graph.core.nodeCosts[graph.core.nodeOffsets[n] + chosen[n]]);
    for (const CoreGraph::Side &side : graph.sides(n))
      if (!isInside[side.other] || side.isFirst)
        cost = addCosts(cost, graph.edgeCost(side, n, chosen[n], chosen[side.other]));
  }
  return cost;
}

Region regionAround(const CoreGraph &graph, std::vector<int32_t> starts, int32_t size) {
  std::vector<bool> isTaken(graph.core.numNodes(), false);
  Region region;
  auto take = [&](int32_t n) {
    if (!isTaken[n] && static_cast<int32_t>(region.size()) < size) {
      isTaken[n] = true;
      region.push_back(n);
    }
  };
  for (int32_t n : starts)
    take(n);
  for (size_t at = 0; at < region.size() && static_cast<int32_t>(region.size()) < size; ++at)
    for (const CoreGraph::Side &side : graph.sides(region[at]))
      take(side.other);
  std::sort(region.begin(), region.end());
  return region;
}

Region growRegion(const CoreGraph &graph, int32_t size, std::mt19937_64 &random) {
  return regionAround(graph, {randomBelow(graph.core.numNodes(), random)}, size);
}

Region rowRegion(const CoreGraph &graph, int32_t size, std::mt19937_64 &random) {
  if (graph.core.segmentNode.empty())
    return growRegion(graph, size, random);
  return usersRegion(graph, randomBelow(graph.core.numRows(), random), size, random);
}

Region excessRegion(const CoreGraph &graph, const std::vector<double> &excess, int32_t size,
                    int32_t numStarts, std::mt19937_64 &random) {
  std::vector<double> upTo;
  double total = 0;
  for (double value : excess)
    upTo.push_back(total += std::max(value, 0.0));
  if (!(total > 0))
    return growRegion(graph, size, random);
  std::vector<int32_t> starts;
  for (int32_t i = 0; i < numStarts; ++i) {
    double at = total * static_cast<double>(random() >> 11) * 0x1p-53;
    auto found = std::upper_bound(upTo.begin(), upTo.end(), at);
    starts.push_back(static_cast<int32_t>(std::min(found, upTo.end() - 1) - upTo.begin()));
  }
  return regionAround(graph, std::move(starts), size);
}

Region usersRegion(const CoreGraph &graph, int32_t row, int32_t size, std::mt19937_64 &random) {
  const CoreProblem &core = graph.core;
  Region users;
  for (size_t s = 0; s < core.segmentNode.size(); ++s)
    if (core.segmentBegin[s] <= row && row < core.segmentEnd[s])
      users.push_back(core.segmentNode[s]);
  for (size_t i = users.size(); i > 1; --i) // std::shuffle differs between standard libraries
    std::swap(users[i - 1], users[randomBelow(static_cast<int32_t>(i), random)]);
  users.resize(std::min<size_t>(users.size(), std::max(1, size / 2)));
  return regionAround(graph, std::move(users), size);
}

} // namespace alpa
