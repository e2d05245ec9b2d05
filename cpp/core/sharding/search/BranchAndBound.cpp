#include "core/sharding/search/BranchAndBound.h"

#include "core/sharding/reductions/Reduction.h"
#include "core/sharding/search/Assignment.h"
#include "core/sharding/search/Elimination.h"
#include "core/sharding/search/Split.h"

#include <algorithm>

namespace alpa {
namespace {

const AscentSchedule kChildSchedule = {40, 2, 0.01, 0.001};

/// How often an answer is read off the messages, in steps.
constexpr int32_t kDecodeInterval = 8;

/// Eliminating nodes through tables of this size in all costs about as much as one node of the
/// search.
constexpr int64_t kMaxEliminationEntries = 1 << 20;

/// Table entries of all nodes on the way down, each of which is held three times: about a gigabyte.
constexpr int64_t kMaxOpenEntries = 40'000'000;

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

/// Blocks what no cheaper answer has. True if that is so much that reducing again pays.
bool blockAbove(int64_t cost, const CoreProblem &core, DualAscent &dual,
                ReducibleProblem &problem) {
  DualAscent::Blocked blocked = dual.blockAbove(cost);
  problem.blockStrategies([&dual](int64_t strategy) { return dual.isBlocked(strategy); });
  problem.blockPairs([&dual](int64_t position) { return dual.isPairBlocked(position); });
  return blocked.isMuchOf(core);
}

} // namespace

BranchAndBound::BranchAndBound(const CoreProblem &core, int64_t cutoff, Limits limits)
    : limits(std::move(limits)), root(core), cheapest(cutoff) {}

void BranchAndBound::run(const AscentSchedule &rootSchedule, const Prices &prices) {
  search(root, prices, INT64_MIN, rootSchedule, 0);
}

bool BranchAndBound::isExhausted() const {
  return spent >= limits.work || (limits.shouldStop && limits.shouldStop());
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

void BranchAndBound::search(ReducibleProblem problem, Prices prices, int64_t bound,
                            const AscentSchedule &schedule, int64_t openEntries) {
  while (true) {
    reduceDirty(problem, Effort::Quick);
    if (problem.isInfeasible())
      return;
    CoreProblem core = problem.core();
    spent += static_cast<int64_t>(core.edgeCosts.size());
    if (solveDirectly(problem, core))
      return;
    openEntries += static_cast<int64_t>(core.edgeCosts.size());
    if (isExhausted() || openEntries > kMaxOpenEntries) {
      openBound = std::min(openBound, std::max(bound, core.constantCost));
      return;
    }
    DualAscent dual(core);
    PriceAscent ascent(core, dual, pricesOfRows(core, prices));
    ascend(problem, core, dual, ascent, schedule);
    bound = std::max(bound, ascent.bestBound());
    if (bound >= cheapest)
      return;
    prices.clear();
    for (int32_t r = 0; r < core.numRows(); ++r)
      prices[core.rowTimes[r]] = ascent.prices()[r];
    bool isSmaller = blockAbove(cheapest, core, dual, problem);
    if (dual.lowerBound() >= cheapest)
      return;
    if (!isSmaller)
      return branch(problem, core, dual, prices, bound, openEntries);
    openEntries -= static_cast<int64_t>(core.edgeCosts.size());
  }
}

bool BranchAndBound::solveDirectly(const ReducibleProblem &problem, const CoreProblem &core) {
  if (core.constantCost >= cheapest)
    return true;
  std::optional<EliminationResult> exact = solveByElimination(core, kMaxEliminationEntries);
  if (!exact)
    return false;
  spent += core.numNodes() > 0 ? kMaxEliminationEntries : 0;
  if (exact->cost < cheapest) {
    cheapest = exact->cost;
    best = problem.expand(exact->choices);
  }
  return true;
}

void BranchAndBound::ascend(const ReducibleProblem &problem, const CoreProblem &core,
                            DualAscent &dual, PriceAscent &ascent, const AscentSchedule &schedule) {
  int64_t reference = INT64_MIN;
  int32_t since = 0; // steps without progress worth mentioning
  for (int32_t step = 0; step < schedule.numSteps && !isExhausted(); ++step) {
    ascent.step(schedule, step, cheapest);
    spent += 2 * schedule.passesPerStep *
             static_cast<int64_t>(core.edgeCosts.size() + core.nodeCosts.size());
    if (ascent.bestBound() >= cheapest)
      return;
    if (step % kDecodeInterval == kDecodeInterval - 1)
      offer(problem, core, dual.decode(DualAscent::Order::AsNumbered));
    if (ascent.bestBound() > reference + (cheapest - ascent.bestBound()) / 1000) {
      reference = ascent.bestBound();
      since = 0;
    } else if (++since >= kPatience && core.numRows() == 0) {
      break; // with prices, progress comes in waves
    }
  }
  ascent.restoreBest();
  offer(problem, core, dual.decode(DualAscent::Order::SurestFirst));
}

void BranchAndBound::branch(const ReducibleProblem &problem, const CoreProblem &core,
                            const DualAscent &dual, const Prices &prices, int64_t bound,
                            int64_t openEntries) {
  Split split = chooseSplit(core, dual, pricesOfRows(core, prices));
  if (split.node < 0) // one answer is left
    return offer(problem, core, dual.decode(DualAscent::Order::SurestFirst));
  int64_t begin = core.nodeOffsets[split.node], end = core.nodeOffsets[split.node + 1];
  for (const std::vector<int32_t> &kept : {split.first, split.second}) {
    if (isExhausted()) { // before the copy: on the way up from deep down there are many
      openBound = std::min(openBound, bound);
      return;
    }
    ReducibleProblem child = problem;
    child.blockStrategies([&](int64_t strategy) {
      bool isOfNode = begin <= strategy && strategy < end;
      bool isKept = std::find(kept.begin(), kept.end(), strategy - begin) != kept.end();
      return isOfNode && !isKept;
    });
    search(std::move(child), prices, bound, kChildSchedule, openEntries);
  }
}

} // namespace alpa
