#include "core/sharding/AnytimeSolver.h"

#include "core/sharding/Reduction.h"

#include <algorithm>

namespace alpa {
namespace {

using Clock = std::chrono::steady_clock;

const AscentSchedule kRootSchedule = {400, 2, 0.005, 0.001};
const AscentSchedule kProofSchedule = {100, 2, 0.003, 0.0005};
const AscentSchedule kRegionSchedule = {60, 2, 0.01, 0.001};

constexpr std::chrono::milliseconds kReportInterval{50};

constexpr int32_t kFreePasses = 20; // before prices
constexpr int32_t kDecodeInterval = 20;
/// Regions searched from the same answer before it changes. Independent of the threads, so that
/// these do not matter.
constexpr int32_t kBatchSize = 4;
constexpr int64_t kFirstWork = 200'000'000; // about 0.2 s
constexpr double kWorkGrowth = 1.5;

constexpr int32_t kUnblockRounds = 20;
constexpr int32_t kUnblockSize = 30;
constexpr size_t kMaxBlockedNodes = 40;

Clock::time_point deadlineAfter(double seconds) {
  constexpr double kForever = 1e8;
  return Clock::now() +
         std::chrono::microseconds(static_cast<int64_t>(std::min(seconds, kForever) * 1e6));
}

/// The calling thread is one of them. All have ended when this returns or throws.
template <typename Task> void runOnThreads(int32_t count, Task task) {
  struct Helpers {
    std::vector<std::thread> threads;
    ~Helpers() {
      for (std::thread &thread : threads)
        thread.join();
    }
  } helpers;
  for (int32_t i = 1; i < count; ++i)
    helpers.threads.emplace_back(task);
  task();
}

} // namespace

AnytimeSolver::AnytimeSolver(const CoreProblem &core, AnytimeOptions options, OnProgress onProgress)
    : core(core), graph(core), options(options), onProgress(std::move(onProgress)),
      deadline(deadlineAfter(options.timeLimitSeconds)), dual(core), ascent(core, dual),
      shrunk(core), random(options.seed) {
  result.lowerBound = core.constantCost;
  result.cost = options.cutoff;
}

AnytimeResult AnytimeSolver::solve() {
  phase = "bound";
  for (int32_t pass = 0; pass < kFreePasses && !isDone(); ++pass) {
    dual.iterate();
    raiseBound(dual.lowerBound());
  }
  bound(kRootSchedule);
  AscentSchedule refined = kRootSchedule;
  for (double work = kFirstWork; !isDone(); work *= kWorkGrowth) {
    phase = "prove";
    if (!prove(static_cast<int64_t>(work)) && !isDone()) {
      phase = "bound";
      refined.numSteps = stepsFor(work);
      refined.firstStep /= 2;
      refined.firstTemperature /= 2;
      bound(refined);
    }
    phase = "improve";
    if (!isDone() && result.choices)
      improve(static_cast<int64_t>(work));
  }
  return result;
}

int32_t AnytimeSolver::stepsFor(double work) const {
  double perStep =
      2.0 * kRootSchedule.passesPerStep * static_cast<double>(core.edgeCosts.size() + 1);
  return static_cast<int32_t>(std::min(std::max(work / perStep, 20.0), 1000.0));
}

bool AnytimeSolver::isDone() {
  if (!isStopped && (!onProgress(phase, result) || spent >= options.workLimit))
    isStopped = true;
  shouldStop();
  if (result.lowerBound >= result.cost)
    return true;
  double gap = static_cast<double>(result.cost) - static_cast<double>(result.lowerBound);
  return isStopped || (isCostKnown() && gap <= options.stopGap * static_cast<double>(result.cost));
}

/// What the exact searches ask: it ends them wherever they are, on any thread.
bool AnytimeSolver::shouldStop() {
  if (isStopped)
    return true;
  Clock::time_point now = Clock::now();
  bool isRefused = false;
  if (std::this_thread::get_id() == caller && now >= nextReport) {
    nextReport = now + kReportInterval;
    isRefused = !onProgress(phase, result);
  }
  if (isRefused || now >= deadline)
    isStopped = true;
  return isStopped;
}

bool AnytimeSolver::offer(Assignment assignment) {
  if (!assignment.isAllowed() || assignment.cost() >= result.cost)
    return false;
  result.choices = assignment.choices();
  result.cost = assignment.cost();
  return true;
}

void AnytimeSolver::raiseBound(int64_t lowerBound) {
  result.lowerBound = std::max(result.lowerBound, std::min(lowerBound, result.cost));
}

void AnytimeSolver::bound(const AscentSchedule &schedule) {
  for (int32_t step = 0; step < schedule.numSteps && !isDone(); ++step) {
    // Without an answer the scale of the prices is a guess.
    int64_t cutoff = isCostKnown() ? result.cost : 2 * std::max<int64_t>(result.lowerBound, 1);
    ascent.step(schedule, step, cutoff);
    spent += 2 * schedule.passesPerStep * static_cast<int64_t>(core.edgeCosts.size());
    raiseBound(ascent.bestBound());
    if (step % kDecodeInterval == kDecodeInterval - 1)
      offerDecoded();
  }
  ascent.restoreBest();
  raiseBound(ascent.bestBound());
  offerDecoded();
  for (int32_t r = 0; r < core.numRows(); ++r)
    prices[core.rowTimes[r]] = ascent.prices()[r];
  if (isCostKnown() && !isDone())
    shrink();
}

void AnytimeSolver::offerDecoded() {
  Assignment assignment(graph, dual.decode());
  assignment.repair();
  if (!assignment.isAllowed())
    unblock(assignment);
  if (assignment.isAllowed())
    assignment.descend();
  offer(std::move(assignment));
}

/// Answers read off the messages often have a few blocked pairs left: solves what is around them.
void AnytimeSolver::unblock(Assignment &assignment) {
  for (int32_t round = 0; round < kUnblockRounds && !isDone(); ++round) {
    std::vector<int32_t> nodes = assignment.blockedNodes();
    if (nodes.empty() || nodes.size() > kMaxBlockedNodes)
      return;
    Region region = regionAround(graph, {nodes[0]}, kUnblockSize + 5 * round);
    BranchAndBound search(restrictTo(graph, assignment, region), kBlocked,
                          {kFirstWork / 10, [this] { return shouldStop(); }});
    search.run(kRegionSchedule, prices);
    spent += search.work();
    if (search.answer())
      assignment.move(region, *search.answer());
  }
}

void AnytimeSolver::shrink() {
  numNewlyBlocked += dual.blockAbove(result.cost);
  if (numNewlyBlocked * 20 < static_cast<int64_t>(core.nodeCosts.size()))
    return; // reducing again would gain little
  numNewlyBlocked = 0;
  shrunk = ReducibleProblem(core);
  shrunk.blockStrategies([this](int64_t strategy) { return dual.isBlocked(strategy); });
  reduceDirty(shrunk, Effort::Full);
  if (shrunk.isInfeasible())
    raiseBound(result.cost);
}

/// False if no cutoff could be settled with the work.
bool AnytimeSolver::prove(int64_t work) {
  bool hasProgress = false;
  int64_t until = spent + work;
  CoreProblem part = shrunk.core();
  while (!isDone() && spent < until) {
    int64_t distance = result.cost - result.lowerBound;
    if (cutoffStep == 0)
      cutoffStep = std::max<int64_t>(1, (isCostKnown() ? distance : result.lowerBound) / 16);
    int64_t cutoff = result.lowerBound + std::min(distance, cutoffStep);
    BranchAndBound search(part, cutoff, {until - spent, [this] { return shouldStop(); }});
    search.run(kProofSchedule, prices);
    spent += search.work();
    if (search.answer())
      offer(Assignment(graph, shrunk.expand(*search.answer())));
    raiseBound(search.lowerBound());
    if (!search.isComplete()) {
      cutoffStep = std::max<int64_t>(1, cutoffStep / 2);
      return hasProgress;
    }
    hasProgress = true;
    cutoffStep = std::min(2 * cutoffStep, kBlocked / 2);
  }
  return hasProgress;
}

void AnytimeSolver::improve(int64_t work) {
  int64_t until = spent + work;
  Assignment incumbent(graph, *result.choices);
  while (!isDone() && spent < until) {
    std::vector<Region> regions;
    std::vector<std::unique_ptr<BranchAndBound>> searches;
    for (int32_t i = 0; i < kBatchSize; ++i) {
      auto grow = i % 2 ? rowRegion : growRegion;
      regions.push_back(grow(graph, static_cast<int32_t>(regionSize), random));
      CoreProblem part = restrictTo(graph, incumbent, regions.back());
      searches.push_back(std::make_unique<BranchAndBound>(
          part, regionCost(graph, incumbent, regions.back()),
          BranchAndBound::Limits{work / (4 * kBatchSize), [this] { return shouldStop(); }}));
    }
    std::atomic<int32_t> next{0};
    auto worker = [&] {
      for (int32_t i = next++; i < kBatchSize; i = next++)
        searches[i]->run(kRegionSchedule, prices);
    };
    runOnThreads(std::min(options.numThreads, kBatchSize), worker);

    int32_t numComplete = 0;
    for (int32_t i = 0; i < kBatchSize; ++i) {
      spent += searches[i]->work();
      numComplete += searches[i]->isComplete();
      if (!searches[i]->answer())
        continue;
      // Two regions may have used the same memory, or share an edge: each is judged after those
      // before it.
      Assignment moved = incumbent;
      moved.move(regions[i], *searches[i]->answer());
      if (moved.isAllowed() && moved.cost() < incumbent.cost())
        incumbent = std::move(moved);
    }
    offer(incumbent);
    regionSize *= numComplete == kBatchSize ? 1.1 : numComplete <= kBatchSize / 2 ? 0.9 : 1;
    regionSize = std::min(std::max(regionSize, 10.0), static_cast<double>(core.numNodes()));
  }
}

} // namespace alpa
