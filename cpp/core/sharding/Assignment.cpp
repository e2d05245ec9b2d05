#include "core/sharding/Assignment.h"

#include <algorithm>

namespace alpa {
namespace {

/// Weight of a blocked cost when moves are compared: far above all else, and some of them still
/// sum.
constexpr int64_t kBlockedWeight = kBlocked / (1 << 12);

int64_t weight(int64_t cost) { return cost >= kBlocked ? kBlockedWeight : cost; }

} // namespace

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

int64_t Assignment::localCost(int32_t n, int32_t p) const {
  int64_t cost = weight(graph->core.nodeCosts[graph->core.nodeOffsets[n] + p]);
  for (const CoreGraph::Side &side : graph->sides(n))
    cost += weight(graph->edgeCost(side, n, p, chosen[side.other]));
  return cost;
}

int64_t Assignment::costChange(int32_t n, int32_t p) const {
  return localCost(n, p) - localCost(n, chosen[n]);
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
  auto account = [this](int64_t cost, int32_t sign) {
    if (cost >= kBlocked)
      numBlocked += sign;
    else
      total += sign * cost;
  };
  for (auto [strategy, sign] : {std::make_pair(chosen[n], -1), std::make_pair(p, 1)}) {
    account(core.nodeCosts[core.nodeOffsets[n] + strategy], sign);
    for (const CoreGraph::Side &side : graph->sides(n))
      account(graph->edgeCost(side, n, strategy, chosen[side.other]), sign);
  }
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
    double bestRatio = 0;
    for (size_t s = 0; s < core.segmentNode.size(); ++s) {
      if (row < core.segmentBegin[s] || row >= core.segmentEnd[s])
        continue;
      int32_t n = core.segmentNode[s];
      for (int32_t p = 0; p < graph->numStrategies(n); ++p) {
        int64_t saved = p == chosen[n] ? 0 : -overflowChange(n, p);
        if (saved <= 0)
          continue;
        double ratio = static_cast<double>(std::max<int64_t>(costChange(n, p), 1)) /
                       static_cast<double>(saved);
        if (bestNode < 0 || ratio < bestRatio) {
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
    int64_t bestChange = 0;
    for (int32_t p = 0; p < graph->numStrategies(n); ++p) {
      int64_t change = costChange(n, p);
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
