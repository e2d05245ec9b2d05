// A sharding problem that reductions rewrite in place, and the trail that maps an answer of the
// rewritten problem back.
//
// Differences from ShardingProblem: parallel edges are one; a node may use memory in several
// segments (merged nodes live more than once); time is a list of rows that can overflow, with the
// capacity that constant users leave.
#pragma once

#include "core/sharding/CoreProblem.h"
#include "core/sharding/ShardingProblem.h"

#include <deque>
#include <utility>

namespace alpa {

/// Memory a node uses in rows begin .. end.
struct UsageSegment {
  int32_t begin = 0;
  int32_t end = 0;
  std::vector<int64_t> usages; ///< one per strategy
};

class ReducibleProblem {
public:
  struct Node {
    std::vector<int64_t> costs;
    std::vector<UsageSegment> segments; ///< disjoint, ordered
    std::vector<int32_t> edges;         ///< live ones
    bool isLive = true;
    bool isDirty = false;

    int32_t numStrategies() const { return static_cast<int32_t>(costs.size()); }
  };

  struct Edge {
    int32_t first = 0, second = 0;
    std::vector<int64_t> costs;
    bool isLive = true;
  };

  /// One end of an edge: costs by (own strategy, other's strategy).
  struct EdgeEnd {
    Edge &edge;
    int32_t other;
    int64_t ownStride, otherStride;
    int32_t numTheirs;

    int64_t &cost(int64_t own, int64_t theirs) const {
      return edge.costs[own * ownStride + theirs * otherStride];
    }
  };

  /// The problem must be checked. Costs of `ceiling` or more are forbidden.
  explicit ReducibleProblem(const ShardingProblem &problem, int64_t ceiling = kForbiddenCost);

  /// A core to reduce further; answers expand to answers of the core.
  explicit ReducibleProblem(const CoreProblem &core);

  int32_t numNodes() const { return static_cast<int32_t>(nodes.size()); }
  const Node &node(int32_t n) const { return nodes[n]; }
  Node &node(int32_t n) { return nodes[n]; }
  const Edge &edge(int32_t e) const { return edges[e]; }
  EdgeEnd edgeEnd(int32_t e, int32_t n);
  int64_t constantCost() const { return constant; }
  void addConstantCost(int64_t cost) { constant += cost; }
  const std::vector<int64_t> &capacities() const { return rowCapacities; }

  /// The live edge between two nodes, or -1.
  int32_t findEdge(int32_t a, int32_t b) const;

  /// Adds `costs` (rows: strategies of `first`) to the edge between two nodes, making one if there
  /// is none.
  void addToEdge(int32_t first, int32_t second, std::vector<int64_t> costs);

  void removeEdge(int32_t e);

  /// Keeps the strategies `kept` (ascending) of a node, in its edges and segments too.
  void keepStrategies(int32_t n, const std::vector<int32_t> &kept);

  /// Blocks strategies by their position in core().nodeCosts.
  template <typename IsBlocked> void blockStrategies(IsBlocked isBlocked) {
    int64_t position = 0;
    for (int32_t n = 0; n < numNodes(); ++n) {
      if (!nodes[n].isLive)
        continue;
      for (int64_t &cost : nodes[n].costs)
        if (isBlocked(position++) && cost < kBlocked) {
          cost = kBlocked;
          markDirty(n);
        }
    }
  }

  /// Blocks pairs by their position in core().edgeCosts.
  template <typename IsBlocked> void blockPairs(IsBlocked isBlocked) {
    int64_t position = 0;
    for (Edge &edge : edges) {
      if (!edge.isLive)
        continue;
      for (int64_t &cost : edge.costs)
        if (isBlocked(position++) && cost < kBlocked) {
          cost = kBlocked;
          markDirty(edge.first);
          markDirty(edge.second);
        }
    }
  }

  /// Two nodes become one: strategy i of `n` is then strategy pairs[i].first of `n` with
  /// pairs[i].second of `absorbed`. Costs, memory and the edges of both are joined, an edge between
  /// them becomes part of the costs.
  void merge(int32_t n, int32_t absorbed, const std::vector<std::pair<int32_t, int32_t>> &pairs);

  /// Removes a node whose strategy follows from others: `table` has it, row-major over the
  /// strategies of `parents`. What it costs must be accounted for by the caller, and its memory
  /// moved.
  void removeNode(int32_t n, std::vector<int32_t> parents, std::vector<int32_t> table);

  /// Adds memory to what a node uses already.
  void addSegments(int32_t n, const std::vector<UsageSegment> &segments);

  /// Subtracts what every strategy of a node uses from the capacities, drops rows that cannot
  /// overflow or follow from a neighbour, and blocks strategies that are too large for some row.
  /// Renumbers the rows.
  void compactMemory();

  /// No strategy of a node is allowed.
  void markInfeasible() { infeasible = true; }
  bool isInfeasible() const { return infeasible; }

  /// Nodes near which something changed since they were taken; -1 if there are none.
  void markDirty(int32_t n);
  int32_t takeDirty();

  /// The live nodes as flat arrays. Node i of the result is live node coreNodes()[i].
  CoreProblem core() const;
  std::vector<int32_t> coreNodes() const;

  /// Maps choices of the core's nodes back to choices of every node of the sharding problem.
  std::vector<int32_t> expand(const std::vector<int32_t> &coreChoices) const;

private:
  struct Derivation {
    int32_t node;
    std::vector<int32_t> parents;
    std::vector<int32_t> table;
    std::vector<int64_t> strides; ///< strategies each parent had when this was noted
  };

  void addMemory(const ShardingProblem &problem);
  void noteDerived(int32_t n, std::vector<int32_t> parents, std::vector<int32_t> table);
  void gatherStrategies(int32_t n, const std::vector<int32_t> &from);
  void blockOversized();

  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<int64_t> rowCapacities, rowTimes;
  std::vector<Derivation> trail;
  std::deque<int32_t> dirty;
  int64_t constant = 0;
  bool infeasible = false;
};

} // namespace alpa
