// Memory rows: take constant usage out, drop rows that cannot overflow or that a neighbouring row
// implies.

#include "core/sharding/ReducibleProblem.h"

#include <algorithm>

namespace alpa {
namespace {

using Node = ReducibleProblem::Node;

/// For each row, the sum over live segments of `amount(segment)`.
template <typename Amount>
std::vector<int64_t> sumPerRow(const std::vector<Node> &nodes, size_t numRows, Amount amount) {
  std::vector<int64_t> sums(numRows + 1, 0);
  for (const Node &node : nodes)
    for (const UsageSegment &segment : node.segments) {
      sums[segment.begin] += amount(segment);
      sums[segment.end] -= amount(segment);
    }
  for (size_t r = 1; r <= numRows; ++r)
    sums[r] += sums[r - 1];
  sums.pop_back();
  return sums;
}

int64_t leastUsage(const UsageSegment &segment) {
  return *std::min_element(segment.usages.begin(), segment.usages.end());
}

int64_t mostUsage(const UsageSegment &segment) {
  return *std::max_element(segment.usages.begin(), segment.usages.end());
}

void subtractLeastUsages(std::vector<Node> &nodes, std::vector<int64_t> &capacities) {
  std::vector<int64_t> least = sumPerRow(nodes, capacities.size(), leastUsage);
  for (size_t r = 0; r < capacities.size(); ++r)
    capacities[r] -= least[r];
  for (Node &node : nodes) {
    for (UsageSegment &segment : node.segments) {
      int64_t subtracted = leastUsage(segment);
      for (int64_t &usage : segment.usages)
        usage -= subtracted;
    }
    auto isEmpty = [](const UsageSegment &segment) { return mostUsage(segment) == 0; };
    node.segments.erase(std::remove_if(node.segments.begin(), node.segments.end(), isEmpty),
                        node.segments.end());
  }
}

/// Which rows must stay. A row's users are compared with those of the last row kept: if they are
/// the same, or fewer with no less room, the row follows from it, and the other way round.
std::vector<bool> findNeededRows(const std::vector<Node> &nodes,
                                 const std::vector<int64_t> &capacities) {
  size_t numRows = capacities.size();
  std::vector<int64_t> most = sumPerRow(nodes, numRows, mostUsage);
  std::vector<int32_t> begins(numRows + 1, 0), ends(numRows + 1, 0);
  for (const Node &node : nodes)
    for (const UsageSegment &segment : node.segments) {
      ++begins[segment.begin];
      ++ends[segment.end];
    }
  std::vector<bool> needed(numRows, false);
  int64_t last = -1, begun = 0, ended = 0; // since the row `last`
  for (size_t r = 0; r < numRows; ++r) {
    begun += begins[r];
    ended += ends[r];
    if (most[r] <= capacities[r])
      continue;
    if (last >= 0 && begun == 0 && capacities[r] >= capacities[last])
      continue;
    if (last >= 0 && ended == 0 && capacities[last] >= capacities[r])
      needed[last] = false;
    needed[r] = true;
    last = r;
    begun = ended = 0;
  }
  return needed;
}

void renumber(std::vector<UsageSegment> &segments, const std::vector<int32_t> &newRow) {
  for (UsageSegment &segment : segments) {
    segment.begin = newRow[segment.begin];
    segment.end = newRow[segment.end];
  }
  auto isEmpty = [](const UsageSegment &segment) { return segment.begin == segment.end; };
  segments.erase(std::remove_if(segments.begin(), segments.end(), isEmpty), segments.end());
}

} // namespace

void ReducibleProblem::compactMemory() {
  subtractLeastUsages(nodes, rowCapacities);
  std::vector<bool> needed = findNeededRows(nodes, rowCapacities);
  std::vector<int32_t> newRow(rowCapacities.size() + 1, 0);
  size_t numKept = 0;
  for (size_t r = 0; r < rowCapacities.size(); ++r) {
    newRow[r] = numKept;
    if (!needed[r])
      continue;
    rowCapacities[numKept] = rowCapacities[r];
    rowTimes[numKept++] = rowTimes[r];
  }
  newRow.back() = numKept;
  rowCapacities.resize(numKept);
  rowTimes.resize(numKept);
  for (Node &node : nodes)
    renumber(node.segments, newRow);
}

} // namespace alpa
