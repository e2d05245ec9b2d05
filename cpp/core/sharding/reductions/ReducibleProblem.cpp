#include "core/sharding/reductions/ReducibleProblem.h"

#include <algorithm>
#include <stdexcept>

namespace alpa {
namespace {

std::vector<int64_t> blockedCosts(const std::vector<int64_t> &costs, int64_t ceiling) {
  std::vector<int64_t> result = costs;
  for (int64_t &cost : result)
    if (cost >= ceiling)
      cost = kBlocked;
  return result;
}

std::vector<int64_t> transpose(const std::vector<int64_t> &costs, size_t rows, size_t columns) {
  std::vector<int64_t> result(costs.size());
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < columns; ++c)
      result[c * rows + r] = costs[r * columns + c];
  return result;
}

template <typename T>
std::vector<T> select(const std::vector<T> &values, const std::vector<int32_t> &kept) {
  std::vector<T> result;
  result.reserve(kept.size());
  for (int32_t i : kept)
    result.push_back(values[i]);
  return result;
}

} // namespace

ReducibleProblem::ReducibleProblem(const ShardingProblem &problem, int64_t ceiling) {
  ceiling = std::min(ceiling, kForbiddenCost);
  nodes.resize(problem.nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i)
    nodes[i].costs = blockedCosts(problem.nodes[i].costs, ceiling);
  edges.reserve(problem.edges.size());
  for (const ShardingEdge &edge : problem.edges)
    addToEdge(edge.first, edge.second, blockedCosts(edge.costs, ceiling));
  if (problem.usageLimit)
    addMemory(problem);
}

ReducibleProblem::ReducibleProblem(const CoreProblem &core) {
  constant = core.constantCost;
  rowCapacities = core.rowCapacities;
  rowTimes = core.rowTimes;
  nodes.resize(core.numNodes());
  auto slice = [](const std::vector<int64_t> &values, const std::vector<int64_t> &offsets,
                  size_t i) {
    return std::vector<int64_t>(values.begin() + offsets[i], values.begin() + offsets[i + 1]);
  };
  for (int32_t n = 0; n < numNodes(); ++n) {
    nodes[n].costs = slice(core.nodeCosts, core.nodeOffsets, n);
    markDirty(n);
  }
  for (size_t s = 0; s < core.segmentNode.size(); ++s)
    nodes[core.segmentNode[s]].segments.push_back(
        {core.segmentBegin[s], core.segmentEnd[s],
         slice(core.segmentUsages, core.segmentOffsets, s)});
  edges.reserve(core.numEdges());
  for (int32_t e = 0; e < core.numEdges(); ++e)
    addToEdge(core.edgeFirst[e], core.edgeSecond[e], slice(core.edgeCosts, core.edgeOffsets, e));
}

/// One row per span between two consecutive interval ends; compactMemory then drops nearly all of
/// them.
void ReducibleProblem::addMemory(const ShardingProblem &problem) {
  std::vector<int64_t> times;
  for (const ShardingNode &node : problem.nodes)
    if (node.interval.begin != node.interval.end) {
      times.push_back(node.interval.begin);
      times.push_back(node.interval.end);
    }
  if (times.empty())
    return;
  std::sort(times.begin(), times.end());
  times.erase(std::unique(times.begin(), times.end()), times.end());
  auto rowOf = [&times](int64_t time) {
    return static_cast<int32_t>(std::lower_bound(times.begin(), times.end(), time) - times.begin());
  };
  for (size_t i = 0; i < nodes.size(); ++i) {
    const ShardingNode &node = problem.nodes[i];
    if (node.interval.begin != node.interval.end)
      nodes[i].segments.push_back(
          {rowOf(node.interval.begin), rowOf(node.interval.end), node.usages});
  }
  times.pop_back(); // nothing lives after the last end
  rowCapacities.assign(times.size(), *problem.usageLimit);
  rowTimes = std::move(times);
  compactMemory();
}

ReducibleProblem::EdgeEnd ReducibleProblem::edgeEnd(int32_t e, int32_t n) {
  Edge &edge = edges[e];
  int64_t columns = nodes[edge.second].numStrategies();
  if (edge.first == n)
    return {edge, edge.second, columns, 1, nodes[edge.second].numStrategies()};
  return {edge, edge.first, 1, columns, nodes[edge.first].numStrategies()};
}

int32_t ReducibleProblem::findEdge(int32_t a, int32_t b) const {
  if (nodes[a].edges.size() > nodes[b].edges.size())
    std::swap(a, b);
  for (int32_t e : nodes[a].edges)
    if (edges[e].first == b || edges[e].second == b)
      return e;
  return -1;
}

void ReducibleProblem::addToEdge(int32_t first, int32_t second, std::vector<int64_t> costs) {
  markDirty(first);
  markDirty(second);
  int32_t e = findEdge(first, second);
  if (e < 0) {
    e = static_cast<int32_t>(edges.size());
    edges.push_back({first, second, std::move(costs)});
    nodes[first].edges.push_back(e);
    nodes[second].edges.push_back(e);
    return;
  }
  Edge &edge = edges[e];
  if (edge.first != first)
    costs = transpose(costs, nodes[first].costs.size(), nodes[second].costs.size());
  for (size_t i = 0; i < costs.size(); ++i)
    edge.costs[i] = addCosts(edge.costs[i], costs[i]);
}

void ReducibleProblem::removeEdge(int32_t e) {
  Edge &edge = edges[e];
  for (int32_t n : {edge.first, edge.second}) {
    std::vector<int32_t> &list = nodes[n].edges;
    list.erase(std::find(list.begin(), list.end(), e));
    markDirty(n);
  }
  edge.isLive = false;
  edge.costs = {};
}

void ReducibleProblem::gatherStrategies(int32_t n, const std::vector<int32_t> &from) {
  Node &node = nodes[n];
  markDirty(n);
  for (int32_t e : node.edges) {
    EdgeEnd end = edgeEnd(e, n);
    int64_t count = from.size();
    bool isRow = end.edge.first == n;
    std::vector<int64_t> costs(count * end.numTheirs);
    for (int64_t k = 0; k < count; ++k)
      for (int64_t theirs = 0; theirs < end.numTheirs; ++theirs)
        costs[isRow ? k * end.numTheirs + theirs : theirs * count + k] = end.cost(from[k], theirs);
    end.edge.costs = std::move(costs);
    markDirty(end.other);
  }
  node.costs = select(node.costs, from);
  for (UsageSegment &segment : node.segments)
    segment.usages = select(segment.usages, from);
}

void ReducibleProblem::keepStrategies(int32_t n, const std::vector<int32_t> &kept) {
  gatherStrategies(n, kept);
  noteDerived(n, {n}, kept);
  if (kept.empty())
    markInfeasible();
}

void ReducibleProblem::merge(int32_t n, int32_t absorbed,
                             const std::vector<std::pair<int32_t, int32_t>> &pairs) {
  std::vector<int32_t> own, theirs;
  for (auto [p, q] : pairs) {
    own.push_back(p);
    theirs.push_back(q);
  }
  std::vector<int64_t> jointCosts(pairs.size(), 0);
  if (int32_t e = findEdge(n, absorbed); e >= 0) {
    for (size_t i = 0; i < pairs.size(); ++i)
      jointCosts[i] = edgeEnd(e, n).cost(own[i], theirs[i]);
    removeEdge(e);
  }

  bool isUnchanged = own.size() == nodes[n].costs.size() &&
                     std::is_sorted(own.begin(), own.end()) &&
                     std::adjacent_find(own.begin(), own.end()) == own.end();
  if (!isUnchanged)
    gatherStrategies(n, own);
  gatherStrategies(absorbed, theirs);
  for (size_t i = 0; i < pairs.size(); ++i)
    nodes[n].costs[i] =
        addCosts(addCosts(nodes[n].costs[i], nodes[absorbed].costs[i]), jointCosts[i]);
  addSegments(n, nodes[absorbed].segments);
  while (!nodes[absorbed].edges.empty()) {
    int32_t e = nodes[absorbed].edges.back();
    Edge &edge = edges[e];
    int32_t other = edge.first == absorbed ? edge.second : edge.first;
    std::vector<int64_t> costs =
        edge.first == absorbed ? std::move(edge.costs)
                               : transpose(edge.costs, nodes[other].costs.size(), pairs.size());
    removeEdge(e);
    addToEdge(n, other, std::move(costs));
  }
  // Expanding runs backwards: the absorbed node must read the merged strategy before `n` gets its
  // own back.
  if (!isUnchanged)
    noteDerived(n, {n}, std::move(own));
  removeNode(absorbed, {n}, std::move(theirs));
}

void ReducibleProblem::removeNode(int32_t n, std::vector<int32_t> parents,
                                  std::vector<int32_t> table) {
  while (!nodes[n].edges.empty())
    removeEdge(nodes[n].edges.back());
  noteDerived(n, std::move(parents), std::move(table));
  bool isDirty = nodes[n].isDirty;
  nodes[n] = {};
  nodes[n].isLive = false;
  nodes[n].isDirty = isDirty; // it may still be queued
}

void ReducibleProblem::noteDerived(int32_t n, std::vector<int32_t> parents,
                                   std::vector<int32_t> table) {
  Derivation derivation{n, std::move(parents), std::move(table), {}};
  for (int32_t parent : derivation.parents)
    derivation.strides.push_back(nodes[parent].numStrategies());
  trail.push_back(std::move(derivation));
}

void ReducibleProblem::markDirty(int32_t n) {
  if (nodes[n].isDirty)
    return;
  nodes[n].isDirty = true;
  dirty.push_back(n);
}

int32_t ReducibleProblem::takeDirty() {
  while (!dirty.empty()) {
    int32_t n = dirty.front();
    dirty.pop_front();
    nodes[n].isDirty = false;
    if (nodes[n].isLive)
      return n;
  }
  return -1;
}

std::vector<int32_t> ReducibleProblem::coreNodes() const {
  std::vector<int32_t> live;
  for (int32_t n = 0; n < numNodes(); ++n)
    if (nodes[n].isLive)
      live.push_back(n);
  return live;
}

CoreProblem ReducibleProblem::core() const {
  CoreProblem core;
  core.constantCost = constant;
  core.rowCapacities = rowCapacities;
  core.rowTimes = rowTimes;
  std::vector<int32_t> coreIndex(nodes.size(), -1);
  for (int32_t n : coreNodes()) {
    int32_t i = coreIndex[n] = core.numNodes();
    core.nodeCosts.insert(core.nodeCosts.end(), nodes[n].costs.begin(), nodes[n].costs.end());
    core.nodeOffsets.push_back(core.nodeCosts.size());
    for (const UsageSegment &segment : nodes[n].segments) {
      core.segmentNode.push_back(i);
      core.segmentBegin.push_back(segment.begin);
      core.segmentEnd.push_back(segment.end);
      core.segmentUsages.insert(core.segmentUsages.end(), segment.usages.begin(),
                                segment.usages.end());
      core.segmentOffsets.push_back(core.segmentUsages.size());
    }
  }
  for (const Edge &edge : edges) {
    if (!edge.isLive)
      continue;
    core.edgeFirst.push_back(coreIndex[edge.first]);
    core.edgeSecond.push_back(coreIndex[edge.second]);
    core.edgeCosts.insert(core.edgeCosts.end(), edge.costs.begin(), edge.costs.end());
    core.edgeOffsets.push_back(core.edgeCosts.size());
  }
  return core;
}

std::vector<int32_t> ReducibleProblem::expand(const std::vector<int32_t> &coreChoices) const {
  std::vector<int32_t> live = coreNodes(), choices(nodes.size(), 0);
  if (live.size() != coreChoices.size())
    throw std::invalid_argument("expected " + std::to_string(live.size()) + " choices, got " +
                                std::to_string(coreChoices.size()));
  for (size_t i = 0; i < live.size(); ++i)
    choices[live[i]] = coreChoices[i];
  for (auto derivation = trail.rbegin(); derivation != trail.rend(); ++derivation) {
    int64_t index = 0;
    for (size_t i = 0; i < derivation->parents.size(); ++i)
      index = index * derivation->strides[i] + choices[derivation->parents[i]];
    choices[derivation->node] = derivation->table[index];
  }
  return choices;
}

} // namespace alpa
