#include "core/sharding/search/Assignment.h"

#include <algorithm>

namespace alpa {
Assignment::Assignment(const CoreGraph &graph, std::vector<int32_t> choices)
    : graph(&graph), chosen(std::move(choices)), usage(graph.core.numRows(), 0) {
  const CoreProblem &core = graph.core;
  total = core.constantCost;
  auto add = [this](int64_t cost) {
    if (cost >= kBlocked)
      ++numBlocked;
    else
      total += cost;
  };
  for (int32_t n = 0; n < core.numNodes(); ++n) {
    add(core.nodeCosts[core.nodeOffsets[n] + chosen[n]]);
    for (const CoreGraph::Side &side : graph.sides(n))
      if (side.isFirst)
        add(graph.edgeCost(side, n, chosen[n], chosen[side.other]));
    for (int32_t s = graph.segmentsBegin(n); s < graph.segmentsBegin(n + 1); ++s)
      for (int32_t r = core.segmentBegin[s]; r < core.segmentEnd[s]; ++r)
        usage[r] += core.segmentUsages[core.segmentOffsets[s] + chosen[n]];
  }
  for (int32_t r = 0; r < core.numRows(); ++r)
    overflow += std::max<int64_t>(0, usage[r] - core.rowCapacities[r]);
}

Assignment::Change Assignment::localCost(int32_t n, int32_t p) const {
  Change sum;
  auto add = [&sum](int64_t cost) {
    if (cost >= kBlocked)
      ++sum.numBlocked;
    else
      sum.cost += cost;
  };
  add(graph->core.nodeCosts[graph->core.nodeOffsets[n] + p]);
  for (const CoreGraph::Side &side : graph->sides(n))
    add(graph->edgeCost(side, n, p, chosen[side.other]));
  return sum;
}

Assignment::Change Assignment::costChange(int32_t n, int32_t p) const {
  Change before = localCost(n, chosen[n]), after = localCost(n, p);
  return {after.numBlocked - before.numBlocked, after.cost - before.cost};
}

int64_t Assignment::overflowChange(int32_t n, int32_t p) const {
  const CoreProblem &core = graph->core;
  int64_t change = 0;
  for (int32_t s = graph->segmentsBegin(n); s < graph->segmentsBegin(n + 1); ++s) {
    const int64_t *usages = core.segmentUsages.data() + core.segmentOffsets[s];
    int64_t added = usages[p] - usages[chosen[n]];
    if (added == 0)
      continue;
    for (int32_t r = core.segmentBegin[s]; r < core.segmentEnd[s]; ++r) {
      int64_t above = usage[r] - core.rowCapacities[r];
      change += std::max<int64_t>(0, above + added) - std::max<int64_t>(0, above);
    }
  }
  return change;
}

void Assignment::move(int32_t n, int32_t p) {
  const CoreProblem &core = graph->core;
  overflow += overflowChange(n, p);
  Change change = costChange(n, p);
  numBlocked += change.numBlocked;
  total += change.cost;
  for (int32_t s = graph->segmentsBegin(n); s < graph->segmentsBegin(n + 1); ++s) {
    const int64_t *usages = core.segmentUsages.data() + core.segmentOffsets[s];
    for (int32_t r = core.segmentBegin[s]; r < core.segmentEnd[s]; ++r)
      usage[r] += usages[p] - usages[chosen[n]];
  }
  chosen[n] = p;
}

void Assignment::move(const std::vector<int32_t> &nodes, const std::vector<int32_t> &strategies) {
  for (size_t i = 0; i < nodes.size(); ++i)
    move(nodes[i], strategies[i]);
}

std::vector<int32_t> Assignment::blockedNodes() const {
  std::vector<int32_t> nodes;
  for (int32_t n = 0; numBlocked > 0 && n < graph->core.numNodes(); ++n) {
    bool isBlocked = graph->core.nodeCosts[graph->core.nodeOffsets[n] + chosen[n]] >= kBlocked;
    for (const CoreGraph::Side &side : graph->sides(n))
      isBlocked |= graph->edgeCost(side, n, chosen[n], chosen[side.other]) >= kBlocked;
    if (isBlocked)
      nodes.push_back(n);
  }
  return nodes;
}

int32_t Assignment::worstRow() const {
  int32_t worst = -1;
  int64_t most = 0;
  for (int32_t r = 0; r < graph->core.numRows(); ++r)
    if (usage[r] - graph->core.rowCapacities[r] > most) {
      worst = r;
      most = usage[r] - graph->core.rowCapacities[r];
    }
  return worst;
}

void Assignment::repair(int32_t maxMoves) {
  const CoreProblem &core = graph->core;
  for (int32_t row = worstRow(); row >= 0 && maxMoves > 0; row = worstRow(), --maxMoves) {
    int32_t bestNode = -1, bestStrategy = 0;
    int32_t fewest = 0;
    double bestRatio = 0;
    for (size_t s = 0; s < core.segmentNode.size(); ++s) {
      if (row < core.segmentBegin[s] || row >= core.segmentEnd[s])
        continue;
      int32_t n = core.segmentNode[s];
      for (int32_t p = 0; p < graph->numStrategies(n); ++p) {
        int64_t saved = p == chosen[n] ? 0 : -overflowChange(n, p);
        if (saved <= 0)
          continue;
        Change change = costChange(n, p);
        double ratio =
            static_cast<double>(std::max<int64_t>(change.cost, 1)) / static_cast<double>(saved);
        bool isBetter =
            change.numBlocked != fewest ? change.numBlocked < fewest : ratio < bestRatio;
        if (bestNode < 0 || isBetter) {
          fewest = change.numBlocked;
          bestNode = n;
          bestStrategy = p;
          bestRatio = ratio;
        }
      }
    }
    if (bestNode < 0)
      return;
    move(bestNode, bestStrategy);
  }
}

void Assignment::descend() {
  const CoreProblem &core = graph->core;
  std::vector<bool> isQueued(core.numNodes(), true);
  std::vector<int32_t> queue;
  for (int32_t n = core.numNodes() - 1; n >= 0; --n)
    queue.push_back(n);
  while (!queue.empty()) {
    int32_t n = queue.back();
    queue.pop_back();
    isQueued[n] = false;
    int32_t best = chosen[n];
    Change bestChange;
    for (int32_t p = 0; p < graph->numStrategies(n); ++p) {
      Change change = costChange(n, p);
      if (change < bestChange && overflowChange(n, p) <= 0) {
        best = p;
        bestChange = change;
      }
    }
    if (best == chosen[n])
      continue;
    move(n, best);
    for (const CoreGraph::Side &side : graph->sides(n))
      if (!isQueued[side.other]) {
        isQueued[side.other] = true;
        queue.push_back(side.other);
      }
  }
}

} // namespace alpa
