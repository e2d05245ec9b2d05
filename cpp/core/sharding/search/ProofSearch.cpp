#include "core/sharding/search/ProofSearch.h"

#include "core/sharding/reductions/Reduction.h"
#include "core/sharding/search/Neighbourhood.h"

#include <algorithm>

namespace alpa {
namespace {

const AscentSchedule kRootSchedule = {400, 2, 0.005, 0.001};
const AscentSchedule kProofSchedule = {100, 2, 0.003, 0.0005};
const AscentSchedule kUnblockSchedule = {60, 2, 0.01, 0.001};

constexpr int32_t kFreePasses = 20; // before prices
constexpr int32_t kDecodeInterval = 20;

constexpr int32_t kUnblockRounds = 20;
constexpr int32_t kUnblockSize = 30;
constexpr int64_t kUnblockWork = 20'000'000;
constexpr size_t kMaxBlockedNodes = 40;

} // namespace

ProofSearch::ProofSearch(const CoreGraph &graph, int64_t cutoff, double stopGap,
                         ShouldStop shouldStop)
    : graph(graph), core(graph.core), stopGap(stopGap), shouldStop(std::move(shouldStop)),
      dual(core), ascent(core, dual), schedule(kRootSchedule), bestCost(kBlocked), cutoff(cutoff),
      bound(core.constantCost), shrunk(core) {}

bool ProofSearch::isDone() const {
  double gap = static_cast<double>(cutoff - bound); // exact where doubles are not
  bool isGood = cutoff < kBlocked && gap <= stopGap * static_cast<double>(cutoff);
  return isGood || bound >= cutoff || shouldStop();
}

void ProofSearch::advance(int64_t work, int64_t knownCost) {
  cutoff = std::min(cutoff, knownCost);
  int64_t until = spent + work;
  if (spent == 0)
    ascendFreely();
  while (spent < until && !isDone())
    isProving ? prove(until) : ascend(until);
}

void ProofSearch::ascendFreely() {
  for (int32_t pass = 0; pass < kFreePasses && !isDone(); ++pass) {
    dual.iterate();
    raiseBound(dual.lowerBound());
  }
}

void ProofSearch::ascend(int64_t until) {
  for (; step < schedule.numSteps; ++step) {
    if (isDone() || spent >= until)
      return;
    // Without an answer the scale of the prices is a guess.
    ascent.step(schedule, step,
                cutoff < kBlocked ? cutoff : 2 * std::max<int64_t>(bound.load(), 1));
    spent += 2 * schedule.passesPerStep * static_cast<int64_t>(core.edgeCosts.size() + 1);
    raiseBound(ascent.bestBound());
    if (step % kDecodeInterval == kDecodeInterval - 1)
      offerDecoded();
  }
  finishAscent();
  isProving = true;
}

void ProofSearch::finishAscent() {
  ascent.restoreBest();
  raiseBound(ascent.bestBound());
  offerDecoded();
  if (cutoff < kBlocked && !isDone())
    shrink();
}

void ProofSearch::offerDecoded() {
  for (int32_t r = 0; r < core.numRows(); ++r)
    rowPrices[core.rowTimes[r]] = ascent.prices()[r];
  auto order =
      step / kDecodeInterval % 2 ? DualAscent::Order::AsNumbered : DualAscent::Order::SurestFirst;
  Assignment assignment(graph, dual.decode(order));
  assignment.repair();
  if (!assignment.isAllowed())
    unblock(assignment);
  lastDecoded = assignment.choices();
  if (!assignment.isAllowed())
    return;
  assignment.descend();
  offer(assignment);
}

/// Answers read off the messages often have a few blocked pairs left: solves what is around them.
void ProofSearch::unblock(Assignment &assignment) {
  for (int32_t round = 0; round < kUnblockRounds && !isDone(); ++round) {
    std::vector<int32_t> nodes = assignment.blockedNodes();
    if (nodes.empty() || nodes.size() > kMaxBlockedNodes)
      return;
    Region region = regionAround(graph, {nodes[0]}, kUnblockSize + 5 * round);
    BranchAndBound search(restrictTo(graph, assignment, region), kBlocked,
                          {kUnblockWork, shouldStop});
    search.run(kUnblockSchedule, rowPrices);
    spent += search.work();
    if (search.answer())
      assignment.move(region, *search.answer());
  }
}

void ProofSearch::offer(const Assignment &assignment) {
  if (!assignment.isAllowed() || assignment.cost() >= cutoff)
    return;
  best = assignment.choices();
  bestCost = cutoff = assignment.cost();
}

void ProofSearch::raiseBound(int64_t lowerBound) {
  bound = std::max(bound.load(), std::min(lowerBound, cutoff));
}

void ProofSearch::shrink() {
  DualAscent::Blocked blocked = dual.blockAbove(cutoff);
  blockedSince.numStrategies += blocked.numStrategies;
  blockedSince.numPairs += blocked.numPairs;
  if (!blockedSince.isMuchOf(core))
    return; // reducing again would gain little
  blockedSince = {};
  shrunk = ReducibleProblem(core);
  shrunk.blockStrategies([this](int64_t strategy) { return dual.isBlocked(strategy); });
  shrunk.blockPairs([this](int64_t position) { return dual.isPairBlocked(position); });
  reduceDirty(shrunk, Effort::Full);
  if (shrunk.isInfeasible())
    raiseBound(cutoff);
}

/// Settles cutoffs, each twice as far above the bound as the last. Where none can be settled with
/// the work, the ascent goes on.
void ProofSearch::prove(int64_t until) {
  int64_t work = until - spent;
  CoreProblem part = shrunk.core();
  bool hasProgress = false;
  while (!isDone() && spent < until) {
    int64_t distance = cutoff - bound;
    if (cutoffStep == 0)
      cutoffStep = std::max<int64_t>(1, (cutoff < kBlocked ? distance : bound.load()) / 16);
    BranchAndBound search(part, bound + std::min(distance, cutoffStep),
                          {until - spent, shouldStop});
    search.run(kProofSchedule, rowPrices);
    spent += search.work() + 1;
    if (search.answer())
      offer(Assignment(graph, shrunk.expand(*search.answer())));
    raiseBound(search.lowerBound());
    if (!search.isComplete()) {
      cutoffStep = std::max<int64_t>(1, cutoffStep / 2);
      break;
    }
    hasProgress = true;
    cutoffStep = std::min(2 * cutoffStep, kBlocked / 2);
  }
  if (!hasProgress)
    refine(work);
}

/// A finer ascent, as long as the last attempt to prove.
void ProofSearch::refine(int64_t work) {
  double perStep =
      2.0 * kRootSchedule.passesPerStep * static_cast<double>(core.edgeCosts.size() + 1);
  schedule.numSteps =
      static_cast<int32_t>(std::min(std::max(static_cast<double>(work) / perStep, 20.0), 1000.0));
  schedule.firstStep /= 2;
  schedule.firstTemperature /= 2;
  step = 0;
  isProving = false;
}

} // namespace alpa
