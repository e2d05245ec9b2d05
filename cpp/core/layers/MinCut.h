// Minimum cuts of small directed graphs with integer capacities (Dinic's algorithm).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace alpa {

class MinCut {
public:
  static constexpr int64_t kUncuttable = int64_t{1} << 60;

  /// Nodes 0 (source) and 1 (sink) are there from the start.
  int32_t addNode();
  void addEdge(int32_t from, int32_t to, int64_t capacity);

  /// Whether each node is on the source's side of the minimum cut whose source side is largest.
  /// Call once.
  std::vector<bool> sourceSide();

  static constexpr int32_t kSource = 0, kSink = 1;

private:
  struct Edge {
    int32_t to;
    int64_t capacity; ///< what is left of it
  };
  bool findLevels();
  /// The next edge by which something can flow from the node one level on; -1 for none.
  int32_t nextOnWay(int32_t node);
  /// Sends as much as one way to the sink takes; 0 where none is left. Ways are as long as the
  /// program, so there is no recursion.
  int64_t push();

  std::vector<Edge> edges; ///< edge e and its reverse e ^ 1
  std::vector<std::vector<int32_t>> edgesOf = std::vector<std::vector<int32_t>>(2);
  std::vector<int32_t> level;
  std::vector<size_t> nextEdge;
  std::vector<int32_t> way; ///< edges from the source on
};

} // namespace alpa
