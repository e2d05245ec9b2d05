// Memory rows: take constant usage out, drop rows that cannot overflow or that a neighbouring row
// implies.

#include "core/sharding/reductions/ReducibleProblem.h"

#include <algorithm>
#include <limits>

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

/// How much the memory in use can grow and shrink at most from one row to the next, as sums over
/// all rows before. Either may be negative: what surely shrinks cannot grow.
struct Changes {
  std::vector<int64_t> growth, shrinkage;

  Changes(const std::vector<Node> &nodes, size_t numRows)
      : growth(numRows + 1, 0), shrinkage(numRows + 1, 0) {
    for (const Node &node : nodes) {
      const UsageSegment *before = nullptr;
      for (const UsageSegment &segment : node.segments) {
        bool isAdjacent = before && before->end == segment.begin;
        if (before && !isAdjacent)
          add(before->end, before, nullptr);
        add(segment.begin, isAdjacent ? before : nullptr, &segment);
        before = &segment;
      }
      if (before)
        add(before->end, before, nullptr);
    }
    for (size_t r = 1; r <= numRows; ++r) {
      growth[r] += growth[r - 1];
      shrinkage[r] += shrinkage[r - 1];
    }
  }

private:
  void add(int32_t row, const UsageSegment *before, const UsageSegment *after) {
    int64_t most = std::numeric_limits<int64_t>::min(), least = std::numeric_limits<int64_t>::max();
    size_t numStrategies = (before ? before : after)->usages.size();
    for (size_t p = 0; p < numStrategies; ++p) {
      int64_t change = (after ? after->usages[p] : 0) - (before ? before->usages[p] : 0);
      most = std::max(most, change);
      least = std::min(least, change);
    }
    growth[row] += most;
    shrinkage[row] -= least;
  }
};

/// Which rows must stay: those that can overflow, and whose keeping does not follow from a
/// neighbouring kept row.
std::vector<bool> findNeededRows(const std::vector<Node> &nodes,
                                 const std::vector<int64_t> &capacities) {
  size_t numRows = capacities.size();
  std::vector<int64_t> most = sumPerRow(nodes, numRows, mostUsage);
  Changes changes(nodes, numRows);
  auto isImplied = [&](size_t row, size_t by) {
    int64_t growth = row > by ? changes.growth[row] - changes.growth[by]
                              : changes.shrinkage[by] - changes.shrinkage[row];
    return growth <= capacities[row] - capacities[by];
  };
  std::vector<size_t> kept;
  for (size_t r = 0; r < numRows; ++r) {
    if (most[r] <= capacities[r] || (!kept.empty() && isImplied(r, kept.back())))
      continue;
    while (!kept.empty() && isImplied(kept.back(), r))
      kept.pop_back();
    kept.push_back(r);
  }
  std::vector<bool> needed(numRows, false);
  for (size_t r : kept)
    needed[r] = true;
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

/// Joins segments that meet and are equal, which they often become as rows go.
void joinEqual(std::vector<UsageSegment> &segments) {
  size_t numKept = 0;
  for (UsageSegment &segment : segments) {
    UsageSegment *last = numKept ? &segments[numKept - 1] : nullptr;
    if (last && last->end == segment.begin && last->usages == segment.usages)
      last->end = segment.end;
    else if (&segments[numKept++] != &segment)
      segments[numKept - 1] = std::move(segment);
  }
  segments.resize(numKept);
}

/// Smallest value of any range, in constant time after building (sparse table).
class RangeMinimum {
public:
  explicit RangeMinimum(const std::vector<int64_t> &values) : levels{values} {
    for (size_t width = 1; 2 * width <= values.size(); width *= 2) {
      const std::vector<int64_t> &below = levels.back();
      std::vector<int64_t> level(values.size() - 2 * width + 1);
      for (size_t i = 0; i < level.size(); ++i)
        level[i] = std::min(below[i], below[i + width]);
      levels.push_back(std::move(level));
    }
  }

  int64_t operator()(int32_t begin, int32_t end) const {
    int32_t level = 0;
    while ((2 << level) <= end - begin)
      ++level;
    return std::min(levels[level][begin], levels[level][end - (1 << level)]);
  }

private:
  std::vector<std::vector<int64_t>> levels;
};

} // namespace

void ReducibleProblem::blockOversized() {
  if (rowCapacities.empty())
    return;
  RangeMinimum leastCapacity(rowCapacities);
  for (int32_t n = 0; n < numNodes(); ++n)
    for (const UsageSegment &segment : nodes[n].segments) {
      int64_t capacity = leastCapacity(segment.begin, segment.end);
      for (size_t p = 0; p < segment.usages.size(); ++p)
        if (segment.usages[p] > capacity && nodes[n].costs[p] < kBlocked) {
          nodes[n].costs[p] = kBlocked;
          markDirty(n);
        }
    }
}

void ReducibleProblem::compactMemory() {
  std::vector<size_t> before;
  for (const Node &node : nodes)
    before.push_back(node.segments.size());
  subtractLeastUsages(nodes, rowCapacities);
  for (int64_t capacity : rowCapacities)
    if (capacity < 0) // too little even for the smallest strategies
      markInfeasible();
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
  for (int32_t n = 0; n < numNodes(); ++n) {
    renumber(nodes[n].segments, newRow);
    joinEqual(nodes[n].segments);
    if (nodes[n].segments.size() != before[n])
      markDirty(n);
  }
  blockOversized();
}

void ReducibleProblem::addSegments(int32_t n, const std::vector<UsageSegment> &added) {
  const std::vector<UsageSegment> &own = nodes[n].segments;
  if (added.empty())
    return;
  // Sweep over both lists at once; a piece ends where either list begins or ends a segment.
  constexpr int32_t kEnd = std::numeric_limits<int32_t>::max();
  std::vector<UsageSegment> joined;
  size_t i = 0, j = 0;
  auto beginOf = [](const std::vector<UsageSegment> &list, size_t at) {
    return at < list.size() ? list[at].begin : kEnd;
  };
  int32_t row = std::min(beginOf(own, 0), beginOf(added, 0));
  while (row != kEnd) {
    const UsageSegment *a = beginOf(own, i) <= row ? &own[i] : nullptr;
    const UsageSegment *b = beginOf(added, j) <= row ? &added[j] : nullptr;
    int32_t end = std::min(a ? a->end : beginOf(own, i), b ? b->end : beginOf(added, j));
    if (a || b) {
      UsageSegment piece{row, end, (a ? a : b)->usages};
      for (size_t p = 0; a && b && p < piece.usages.size(); ++p)
        piece.usages[p] += b->usages[p];
      joined.push_back(std::move(piece));
    }
    i += a && a->end == end;
    j += b && b->end == end;
    row = end;
  }
  joinEqual(joined);
  nodes[n].segments = std::move(joined);
}

} // namespace alpa
