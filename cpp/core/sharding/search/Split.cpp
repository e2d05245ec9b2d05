#include "core/sharding/search/Split.h"

#include "core/sharding/search/CoreGraph.h"

#include <algorithm>

namespace alpa {
namespace {

struct Ranked {
  double memoryWorth;
  int32_t strategy;
};

/// The strategies that are left of nodes, by what their memory is worth.
class Ranking {
public:
  Ranking(const CoreProblem &core, const DualAscent &dual, const std::vector<double> &prices)
      : core(core), graph(core), dual(dual), upTo(core.numRows() + 1, 0) {
    for (int32_t r = 0; r < core.numRows(); ++r)
      upTo[r + 1] = upTo[r] + prices[r];
  }

  std::vector<Ranked> operator()(int32_t n) const {
    std::vector<Ranked> ranked;
    for (int32_t p = 0; p < graph.numStrategies(n); ++p)
      if (!dual.isBlocked(core.nodeOffsets[n] + p))
        ranked.push_back({memoryWorth(n, p), p});
    std::stable_sort(ranked.begin(), ranked.end(), [](const Ranked &a, const Ranked &b) {
      return a.memoryWorth < b.memoryWorth;
    });
    return ranked;
  }

private:
  double memoryWorth(int32_t n, int32_t p) const {
    double worth = 0;
    for (int32_t s = graph.segmentsBegin(n); s < graph.segmentsBegin(n + 1); ++s)
      worth += static_cast<double>(core.segmentUsages[core.segmentOffsets[s] + p]) *
               (upTo[core.segmentEnd[s]] - upTo[core.segmentBegin[s]]);
    return worth;
  }

  const CoreProblem &core;
  CoreGraph graph;
  const DualAscent &dual;
  std::vector<double> upTo; ///< sum of the prices of the rows before
};

size_t widestJump(const std::vector<Ranked> &ranked) {
  size_t cut = 1;
  auto jump = [&](size_t i) { return ranked[i].memoryWorth - ranked[i - 1].memoryWorth; };
  for (size_t i = 2; i < ranked.size(); ++i)
    if (jump(i) > jump(cut))
      cut = i;
  return cut;
}

} // namespace

Split chooseSplit(const CoreProblem &core, const DualAscent &dual,
                  const std::vector<double> &prices) {
  Ranking rank(core, dual, prices);
  Split split;
  double widest = -1;
  int64_t leastDoubt = -1;
  for (int32_t n = 0; n < core.numNodes(); ++n) {
    std::vector<Ranked> ranked = rank(n);
    if (ranked.size() < 2)
      continue;
    double width = ranked.back().memoryWorth - ranked.front().memoryWorth;
    int64_t margin = dual.secondBest(n);
    if (width > widest || (width == widest && margin > leastDoubt)) {
      split.node = n;
      widest = width;
      leastDoubt = margin;
    }
  }
  if (split.node < 0)
    return split;
  auto belief = [&](int32_t strategy) { return dual.beliefOf(split.node, strategy); };
  std::vector<Ranked> ranked = rank(split.node);
  if (widest == 0)
    std::stable_sort(ranked.begin(), ranked.end(), [&](const Ranked &a, const Ranked &b) {
      return belief(a.strategy) < belief(b.strategy);
    });
  size_t cut = widest > 0 ? widestJump(ranked) : 1;
  for (size_t i = 0; i < ranked.size(); ++i)
    (i < cut ? split.first : split.second).push_back(ranked[i].strategy);
  auto best = [&](const std::vector<int32_t> &strategies) {
    int64_t least = INT64_MAX;
    for (int32_t strategy : strategies)
      least = std::min(least, belief(strategy));
    return least;
  };
  if (best(split.second) < best(split.first))
    std::swap(split.first, split.second);
  return split;
}

} // namespace alpa
