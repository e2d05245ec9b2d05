// The search for good answers and good bounds at once, interruptible at any time.
//
// Two halves run side by side in rounds of equal and growing effort: ProofSearch raises the bound,
// ImproveSearch makes the best answer cheaper. What they find is exchanged between rounds. Effort
// is counted in work, not time, so answers depend on the seed but not on the threads.
#pragma once

#include "core/sharding/search/ImproveSearch.h"
#include "core/sharding/search/ProofSearch.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace alpa {

struct AnytimeOptions {
  uint64_t seed = 0;
  int32_t numThreads = 1;
  int64_t workLimit = INT64_MAX;
  /// The search ends after this much work without a better answer, or after twice what the best one
  /// took, whichever is more.
  int64_t patience = INT64_MAX;
  double timeLimitSeconds = 60; ///< without an answer, a first round of work is done all the same
  double stopGap = 0;           ///< a gap that is good enough
  int64_t cutoff = kBlocked;    ///< cost of an answer known from elsewhere: only cheaper ones count
};

struct AnytimeResult {
  std::optional<std::vector<int32_t>> choices; ///< none: nothing found yet
  int64_t cost = kBlocked;
  int64_t lowerBound = 0; ///< at least kBlocked: infeasible
};

class AnytimeSolver {
public:
  /// Called after each improvement and several times a second, by the thread that called `solve`;
  /// returning false ends the search.
  using OnProgress = std::function<bool(const std::string &phase, const AnytimeResult &)>;

  /// The core must outlive this and have no blocked strategies.
  AnytimeSolver(const CoreProblem &core, AnytimeOptions options, OnProgress onProgress);

  AnytimeResult solve();

private:
  void round(int64_t work);
  void improve(const AnytimeResult &known, const ImproveSearch::Guide &guide, int64_t work);
  void mend(const std::vector<int32_t> &draft, const ImproveSearch::Guide &guide, int64_t work);
  void takeFromProof();
  bool isDone();
  int64_t patienceLeft();
  bool shouldStop();
  void report();

  CoreGraph graph;
  AnytimeOptions options;
  OnProgress onProgress;
  AnytimeResult result;
  int64_t bestCost = kBlocked; ///< after the last round in which it fell
  int64_t workOfBest = 0;      ///< when that round ended
  std::chrono::steady_clock::time_point deadline, nextReport;
  std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> isStopped{false};
  std::atomic<bool> isTimed;         ///< the time limit counts
  std::atomic<bool> isProven{false}; ///< that nothing is cheaper than what the proof knows
  std::string phase;

  ProofSearch proof;
  ImproveSearch improvement;
};

} // namespace alpa
