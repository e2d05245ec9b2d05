#include "core/sharding/BranchAndBound.h"

#include "core/sharding/Assignment.h"
#include "core/sharding/Elimination.h"
#include "core/sharding/Reduction.h"

#include <algorithm>
#include <numeric>

namespace alpa {
namespace {

const AscentSchedule kChildSchedule = {40, 2, 0.01, 0.001};

/// How often an answer is read off the messages, in steps.
constexpr int32_t kDecodeInterval = 8;

/// Eliminating nodes through tables of this size in all costs about as much as one node of the
/// search.
constexpr int64_t kMaxEliminationEntries = 1 << 20;

/// Steps without progress worth a thousandth of the distance to the cutoff end a node's ascent.
constexpr int32_t kPatience = 16;

std::vector<double> pricesOfRows(const CoreProblem &core, const std::map<int64_t, double> &prices) {
  std::vector<double> result;
  for (int64_t time : core.rowTimes) {
    auto found = prices.find(time);
    result.push_back(found == prices.end() ? 0 : found->second);
  }
  return result;
}

} // namespace

BranchAndBound::BranchAndBound(const CoreProblem &core, int64_t cutoff, Limits limits)
    : limits(limits), root(core), cheapest(cutoff) {}

void BranchAndBound::run(const AscentSchedule &rootSchedule, const Prices &prices) {
  search(root, prices, INT64_MIN, rootSchedule);
}

bool BranchAndBound::isExhausted() const {
  return spent >= limits.work || std::chrono::steady_clock::now() >= limits.deadline;
}

void BranchAndBound::offer(const ReducibleProblem &problem, const CoreProblem &core,
                           std::vector<int32_t> choices) {
  CoreGraph graph(core);
  Assignment assignment(graph, std::move(choices));
  assignment.repair();
  if (!assignment.isAllowed())
    return;
  assignment.descend();
  if (assignment.cost() >= cheapest)
    return;
  cheapest = assignment.cost();
  best = problem.expand(assignment.choices());
}

void BranchAndBound::search(ReducibleProblem problem, Prices prices, int64_t parentBound,
                            const AscentSchedule &schedule) {
  while (true) {
    if (isExhausted()) {
      openBound = std::min(openBound, parentBound);
      return;
    }
    reduceDirty(problem, Effort::Quick);
    if (problem.isInfeasible())
      return;
    CoreProblem core = problem.core();
    spent += static_cast<int64_t>(core.edgeCosts.size());
    if (core.constantCost >= cheapest)
      return;
    if (core.numNodes() == 0) {
      cheapest = core.constantCost;
      best = problem.expand({});
      return;
    }
    if (std::optional<EliminationResult> exact = solveByElimination(core, kMaxEliminationEntries)) {
      spent += kMaxEliminationEntries;
      if (exact->cost < cheapest) {
        cheapest = exact->cost;
        best = problem.expand(exact->choices);
      }
      return;
    }
    DualAscent dual(core);
    PriceAscent ascent(core, dual, pricesOfRows(core, prices));
    int64_t reference = INT64_MIN;
    int32_t since = 0;
    for (int32_t step = 0; step < schedule.numSteps && !isExhausted(); ++step) {
      ascent.step(schedule, step, cheapest);
      spent += 2 * schedule.passesPerStep *
               static_cast<int64_t>(core.edgeCosts.size() + core.nodeCosts.size());
      if (ascent.bestBound() >= cheapest)
        return;
      if (step % kDecodeInterval == kDecodeInterval - 1)
        offer(problem, core, dual.decode());
      bool hasProgress = ascent.bestBound() > reference + (cheapest - ascent.bestBound()) / 1000;
      since = hasProgress ? 0 : since + 1;
      if (hasProgress)
        reference = ascent.bestBound();
      if (since >= kPatience && core.numRows() == 0)
        break;
    }
    ascent.restoreBest();
    offer(problem, core, dual.decode());
    int64_t bound = std::max(parentBound, ascent.bestBound());
    if (bound >= cheapest)
      return;
    prices.clear();
    for (int32_t r = 0; r < core.numRows(); ++r)
      prices[core.rowTimes[r]] = ascent.prices()[r];
    int64_t numBlocked = dual.blockAbove(cheapest);
    if (numBlocked * 20 < static_cast<int64_t>(core.nodeCosts.size()))
      return branch(problem, core, dual, prices, bound);
    parentBound = bound;
    problem.blockStrategies([&dual](int64_t strategy) { return dual.isBlocked(strategy); });
  }
}

void BranchAndBound::branch(const ReducibleProblem &problem, const CoreProblem &core,
                            const DualAscent &dual, const Prices &prices, int64_t bound) {
  CoreGraph graph(core);
  std::vector<double> upTo(core.numRows() + 1, 0);
  for (int32_t r = 0; r < core.numRows(); ++r)
    upTo[r + 1] = upTo[r] + prices.at(core.rowTimes[r]);

  // The strategies of a node by what their memory is worth at these prices.
  using Ranked = std::vector<std::pair<double, int32_t>>;
  auto rank = [&](int32_t n) {
    Ranked ranked;
    for (int32_t p = 0; p < graph.numStrategies(n); ++p) {
      if (dual.isBlocked(core.nodeOffsets[n] + p))
        continue;
      double value = 0;
      for (int32_t s = graph.segmentsBegin(n); s < graph.segmentsBegin(n + 1); ++s)
        value += static_cast<double>(core.segmentUsages[core.segmentOffsets[s] + p]) *
                 (upTo[core.segmentEnd[s]] - upTo[core.segmentBegin[s]]);
      ranked.emplace_back(value, p);
    }
    std::sort(ranked.begin(), ranked.end());
    return ranked;
  };
  int32_t chosen = -1;
  double widest = -1;
  int64_t mostDoubtful = -1;
  for (int32_t n = 0; n < core.numNodes(); ++n) {
    Ranked ranked = rank(n);
    if (ranked.size() < 2)
      continue;
    double width = ranked.back().first - ranked.front().first;
    int64_t doubt = dual.secondBest(n);
    if (width > widest || (width == widest && doubt > mostDoubtful)) {
      chosen = n;
      widest = width;
      mostDoubtful = doubt;
    }
  }
  if (chosen < 0) // one answer is left, and it is not cheaper
    return;
  Ranked ranked = rank(chosen);
  // Cut at the widest jump; without memory, the best strategy against all others.
  size_t cut = 1;
  if (widest > 0) {
    for (size_t i = 1; i < ranked.size(); ++i)
      if (ranked[i].first - ranked[i - 1].first > ranked[cut].first - ranked[cut - 1].first)
        cut = i;
  } else {
    auto isBetter = [&](const auto &a, const auto &b) {
      return dual.beliefOf(chosen, a.second) < dual.beliefOf(chosen, b.second);
    };
    std::stable_sort(ranked.begin(), ranked.end(), isBetter);
  }
  auto leastBelief = [&](size_t begin, size_t end) {
    int64_t least = INT64_MAX;
    for (size_t i = begin; i < end; ++i)
      least = std::min(least, dual.beliefOf(chosen, ranked[i].second));
    return least;
  };
  bool isHighFirst = leastBelief(cut, ranked.size()) < leastBelief(0, cut);
  for (bool isHigh : {isHighFirst, !isHighFirst}) {
    std::vector<bool> isKept(graph.numStrategies(chosen), false);
    for (size_t i = isHigh ? cut : 0; i < (isHigh ? ranked.size() : cut); ++i)
      isKept[ranked[i].second] = true;
    ReducibleProblem child = problem;
    child.blockStrategies([&](int64_t strategy) {
      bool isOther =
          strategy < core.nodeOffsets[chosen] || strategy >= core.nodeOffsets[chosen + 1];
      return dual.isBlocked(strategy) || (!isOther && !isKept[strategy - core.nodeOffsets[chosen]]);
    });
    search(std::move(child), prices, bound, kChildSchedule);
  }
}

} // namespace alpa
