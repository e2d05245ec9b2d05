// The search for good answers and good bounds at once, interruptible at any time.
//
//   bound    price ascent over the whole core, answers read off on the way (PriceAscent,
//   Assignment) shrink   what the answer and the bound exclude goes, the core is reduced again
//   prove    branch and bound below a cutoff that starts just above the bound: either the bound
//   rises to the cutoff, or
//            an answer is found. A low cutoff excludes so much that this is far cheaper than one
//            search below the answer.
//   improve  large-neighbourhood search through the same exact search
//
// The last two take turns with growing effort. Effort is counted in work, not time, and regions are
// searched in batches of a fixed size, so answers depend on the seed but not on the threads.
#pragma once

#include "core/sharding/BranchAndBound.h"
#include "core/sharding/Neighbourhood.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace alpa {

struct AnytimeOptions {
  uint64_t seed = 0;
  int32_t numThreads = 1;
  int64_t workLimit = INT64_MAX;
  double timeLimitSeconds = 60;
  double stopGap = 0;        ///< a gap that is good enough
  int64_t cutoff = kBlocked; ///< cost of an answer known from elsewhere: only cheaper ones count
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
  void bound(const AscentSchedule &schedule);
  void offerDecoded();
  int32_t stepsFor(double work) const;
  void unblock(Assignment &assignment);
  void shrink();
  bool prove(int64_t work);
  void improve(int64_t work);
  bool offer(Assignment assignment);
  void raiseBound(int64_t lowerBound);
  bool isDone();
  bool shouldStop();
  bool isCostKnown() const { return result.cost < kBlocked; }

  const CoreProblem &core;
  CoreGraph graph;
  AnytimeOptions options;
  OnProgress onProgress;
  AnytimeResult result;
  std::chrono::steady_clock::time_point deadline;
  std::string phase;
  std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> isStopped{false};
  std::chrono::steady_clock::time_point nextReport;
  int64_t spent = 0;

  DualAscent dual;
  PriceAscent ascent;
  int64_t numNewlyBlocked = 0; ///< strategies, since `shrunk` was made

  ReducibleProblem shrunk; ///< what may still hold a cheaper answer
  BranchAndBound::Prices prices;
  int64_t cutoffStep = 0;
  std::mt19937_64 random;
  double regionSize = 40;
};

} // namespace alpa
