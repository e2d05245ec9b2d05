// What is left of a sharding problem when the reductions are done, as flat arrays: what the ILP
// builder and the anytime solver read. Memory is a list of rows (times that can overflow), each
// with the capacity that its constant users leave; a node uses rows through segments, one number
// per strategy.
#pragma once

#include <cstdint>
#include <vector>

namespace alpa {

/// Forbidden inside the solvers. Above any sum of allowed costs (what could add up to it is
/// forbidden, see StandIn.h), and twice this still fits int64.
inline constexpr int64_t kBlocked = int64_t{1} << 61;

/// Sum of two costs, kBlocked if either is blocked.
inline int64_t addCosts(int64_t a, int64_t b) {
  return a >= kBlocked || b >= kBlocked ? kBlocked : a + b;
}

struct CoreProblem {
  /// Part of the cost that no choice left can change. It may exceed what one node could carry,
  /// never int64.
  int64_t constantCost = 0;

  std::vector<int64_t> nodeOffsets = {
      0}; ///< node i has strategies nodeOffsets[i] .. nodeOffsets[i + 1]
  std::vector<int64_t> nodeCosts;

  std::vector<int32_t> edgeFirst, edgeSecond; ///< no two edges join the same nodes
  std::vector<int64_t> edgeOffsets = {0};
  std::vector<int64_t> edgeCosts; ///< row-major per edge, kBlocked where a pair is forbidden

  std::vector<int64_t> rowCapacities; ///< bytes; negative: nothing fits
  std::vector<int64_t> rowTimes;      ///< a time of the sharding problem that the row stands for

  std::vector<int32_t> segmentNode, segmentBegin,
      segmentEnd; ///< rows segmentBegin .. segmentEnd; ordered by node
  std::vector<int64_t> segmentOffsets = {0};
  std::vector<int64_t> segmentUsages; ///< bytes, one per strategy of the node, the least is 0

  int32_t numNodes() const { return static_cast<int32_t>(nodeOffsets.size()) - 1; }
  int32_t numEdges() const { return static_cast<int32_t>(edgeFirst.size()); }
  int32_t numRows() const { return static_cast<int32_t>(rowCapacities.size()); }
};

} // namespace alpa
