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
  int64_t push(int32_t node, int64_t most);

  std::vector<Edge> edges; ///< edge e and its reverse e ^ 1
  std::vector<std::vector<int32_t>> edgesOf = std::vector<std::vector<int32_t>>(2);
  std::vector<int32_t> level;
  std::vector<size_t> nextEdge;
};

} // namespace alpa
