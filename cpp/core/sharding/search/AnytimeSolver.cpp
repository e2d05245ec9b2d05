#include "core/sharding/search/AnytimeSolver.h"

#include <algorithm>
#include <future>
#include <system_error>

namespace alpa {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kReportInterval{50};
constexpr int64_t kFirstWork = 200'000'000; // some tenths of a second
constexpr double kWorkGrowth = 1.5;

Clock::time_point deadlineAfter(double seconds) {
  constexpr double kForever = 1e8;
  return Clock::now() +
         std::chrono::microseconds(static_cast<int64_t>(std::min(seconds, kForever) * 1e6));
}

} // namespace

AnytimeSolver::AnytimeSolver(const CoreProblem &core, AnytimeOptions options, OnProgress onProgress)
    : graph(core), options(options), onProgress(std::move(onProgress)),
      deadline(deadlineAfter(options.timeLimitSeconds)), isTimed(options.cutoff < kBlocked),
      proof(graph, options.cutoff, options.stopGap, [this] { return shouldStop(); }),
      improvement(graph, options.seed, [this] { return isProven || shouldStop(); }) {
  result.lowerBound = core.constantCost;
  result.cost = options.cutoff;
}

AnytimeResult AnytimeSolver::solve() {
  phase = proof.phase();
  proof.advance(1, result.cost); // often enough
  takeFromProof();
  for (double work = kFirstWork; !isDone(); work = std::min(work * kWorkGrowth, 1e18)) {
    int64_t left = options.workLimit - proof.work() - improvement.work();
    round(std::min({static_cast<int64_t>(work), left, patienceLeft()}));
    isTimed = true;
  }
  return result;
}

/// Both halves, at once where there are threads for it. What they do depends only on what was known
/// before, and what comes of it not on who ends first.
void AnytimeSolver::round(int64_t work) {
  const AnytimeResult known = result;
  const ImproveSearch::Guide guide = {proof.prices(), known.choices ? proof.excessOf(*known.choices)
                                                                    : std::vector<double>()};
  const std::vector<int32_t> draft = proof.draft();
  phase = proof.phase();
  bool isAlone = options.numThreads == 1;
  auto prove = [this, work, known] {
    proof.advance(work, known.cost);
    isProven = proof.lowerBound() >= std::min(proof.cost(), known.cost);
  };
  std::future<void> proving;
  if (!isAlone) {
    try {
      proving = std::async(std::launch::async, prove);
    } catch (const std::system_error &) {
      isAlone = true; // the system gives no more threads
    }
  }
  if (isAlone)
    proving = std::async(std::launch::deferred, prove);
  try {
    if (isAlone)
      proving.wait();
    if (known.choices)
      improve(known, guide, work);
    else if (!draft.empty())
      mend(draft, guide, work);
    while (proving.wait_for(kReportInterval) != std::future_status::ready)
      shouldStop(); // reports
  } catch (...) {
    isStopped = true; // the future's destructor waits for the other thread
    throw;
  }
  proving.get();
  takeFromProof();
}

void AnytimeSolver::improve(const AnytimeResult &known, const ImproveSearch::Guide &guide,
                            int64_t work) {
  int32_t numThreads = std::max(1, options.numThreads - 1);
  phase = "improve";
  improvement.improve(*known.choices, guide, work, numThreads, [this](const Assignment &answer) {
    result.choices = answer.choices();
    result.cost = answer.cost();
    report();
  });
}

void AnytimeSolver::mend(const std::vector<int32_t> &draft, const ImproveSearch::Guide &guide,
                         int64_t work) {
  phase = "mend";
  Assignment answer = improvement.mend(draft, guide, work);
  if (!answer.isAllowed() || answer.cost() >= result.cost)
    return;
  result.choices = answer.choices();
  result.cost = answer.cost();
}

/// Of equally cheap answers it is always the proof's that counts, not the first.
void AnytimeSolver::takeFromProof() {
  if (proof.choices() && proof.cost() <= result.cost) {
    result.choices = proof.choices();
    result.cost = proof.cost();
  }
  result.lowerBound = std::max(result.lowerBound, proof.lowerBound());
}

bool AnytimeSolver::isDone() {
  report();
  if (proof.work() + improvement.work() >= options.workLimit || patienceLeft() <= 0)
    isStopped = true;
  double gap = static_cast<double>(result.cost - result.lowerBound); // exact where doubles are not
  bool isGood = result.cost < kBlocked && gap <= options.stopGap * static_cast<double>(result.cost);
  return isGood || result.lowerBound >= result.cost || shouldStop();
}

/// Looked at between rounds, whose ends do not depend on the clock.
int64_t AnytimeSolver::patienceLeft() {
  const int64_t work = proof.work() + improvement.work();
  if (result.cost < bestCost) {
    bestCost = result.cost;
    workOfBest = work;
  }
  if (!result.choices)
    return INT64_MAX;
  return std::max(options.patience, 2 * workOfBest) - (work - workOfBest);
}

/// What both halves ask all the time: it ends them wherever they are, on any thread.
bool AnytimeSolver::shouldStop() {
  if (isStopped)
    return true;
  Clock::time_point now = Clock::now();
  if (std::this_thread::get_id() == caller && now >= nextReport)
    report();
  // On a busy machine the reductions may have taken all of the time, and any answer is better than
  // none.
  if (isTimed && now >= deadline)
    isStopped = true;
  return isStopped;
}

void AnytimeSolver::report() {
  nextReport = Clock::now() + kReportInterval;
  result.lowerBound = std::max(result.lowerBound, std::min(proof.lowerBound(), result.cost));
  if (!onProgress(phase, result))
    isStopped = true;
}

} // namespace alpa
