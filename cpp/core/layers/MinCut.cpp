#include "core/layers/MinCut.h"

#include <algorithm>

namespace alpa {

int32_t MinCut::addNode() {
  edgesOf.emplace_back();
  return static_cast<int32_t>(edgesOf.size()) - 1;
}

void MinCut::addEdge(int32_t from, int32_t to, int64_t capacity) {
  edgesOf[from].push_back(static_cast<int32_t>(edges.size()));
  edges.push_back({to, capacity});
  edgesOf[to].push_back(static_cast<int32_t>(edges.size()));
  edges.push_back({from, 0});
}

bool MinCut::findLevels() {
  level.assign(edgesOf.size(), -1);
  level[kSource] = 0;
  std::vector<int32_t> queue = {kSource};
  for (size_t i = 0; i < queue.size(); ++i)
    for (int32_t e : edgesOf[queue[i]])
      if (edges[e].capacity > 0 && level[edges[e].to] < 0) {
        level[edges[e].to] = level[queue[i]] + 1;
        queue.push_back(edges[e].to);
      }
  return level[kSink] >= 0;
}

int32_t MinCut::nextOnWay(int32_t node) {
  for (size_t &i = nextEdge[node]; i < edgesOf[node].size(); ++i) {
    const Edge &edge = edges[edgesOf[node][i]];
    if (edge.capacity > 0 && level[edge.to] == level[node] + 1)
      return edgesOf[node][i];
  }
  return -1;
}

int64_t MinCut::push() {
  way.clear();
  for (int32_t node = kSource; node != kSink;) {
    if (const int32_t e = nextOnWay(node); e >= 0) {
      way.push_back(e);
      node = edges[e].to;
    } else if (way.empty()) {
      return 0;
    } else { // a dead end
      node = edges[way.back() ^ 1].to;
      way.pop_back();
      ++nextEdge[node];
    }
  }
  int64_t pushed = kUncuttable;
  for (int32_t e : way)
    pushed = std::min(pushed, edges[e].capacity);
  for (int32_t e : way) {
    edges[e].capacity -= pushed;
    edges[e ^ 1].capacity += pushed;
  }
  return pushed;
}

std::vector<bool> MinCut::sourceSide() {
  while (findLevels()) {
    nextEdge.assign(edgesOf.size(), 0);
    while (push() > 0) {
    }
  }
  // The sink's side is what still reaches the sink.
  std::vector<bool> isSource(edgesOf.size(), true);
  std::vector<int32_t> queue = {kSink};
  isSource[kSink] = false;
  for (size_t i = 0; i < queue.size(); ++i)
    for (int32_t e : edgesOf[queue[i]])
      if (int32_t from = edges[e].to; edges[e ^ 1].capacity > 0 && isSource[from]) {
        isSource[from] = false;
        queue.push_back(from);
      }
  return isSource;
}

} // namespace alpa
