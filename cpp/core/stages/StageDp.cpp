// Why this is exact. Step time is latency + (m - 1) * period + update, and only the latency is a
// sum over stages. Under upper limits on period and update SuffixProgram finds the least latency
// L. Let the plan found have period p and update u: a better plan within the same limits
// has latency of at least L, so a smaller period than p or a smaller update than u. The search
// splits the limits there, and drops a box when L + (m - 1) * its smallest period + its smallest
// update is no better than the best plan known (the paper's early pruning).
//
// A stage's memory depends on how many stages follow (1F1B), hence the number of stages is part
// of the state, as far as any candidate's memory depends on it. That makes the state many times as
// large, so it is left out at first: what is least without it and fits all the same is the least.

#include "core/stages/StageDp.h"
#include "core/stages/SuffixProgram.h"

#include <algorithm>
#include <queue>
#include <tuple>

namespace alpa {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The distinct periods and updates that plans can have, ascending.
struct Levels {
  std::vector<double> periods, updates;

  explicit Levels(const StageProblem &problem) {
    const int32_t numSubmeshes = static_cast<int32_t>(problem.submeshes.size());
    for (const StageCandidate &stage : problem.candidates) {
      updates.push_back(stage.updateSeconds);
      if (stage.endLayer == problem.numLayers)
        periods.push_back(stagePeriod(problem.schedule, stage.computeSeconds, 0));
      for (int32_t next = 0; next < numSubmeshes && stage.endLayer < problem.numLayers; ++next)
        periods.push_back(stagePeriod(problem.schedule, stage.computeSeconds,
                                      problem.transfer(stage.endLayer, stage.submesh, next)));
    }
    for (std::vector<double> *levels : {&periods, &updates}) {
      std::sort(levels->begin(), levels->end());
      levels->erase(std::unique(levels->begin(), levels->end()), levels->end());
    }
    // With one microbatch the period costs nothing.
    if (problem.numMicrobatches == 1)
      periods.assign({kInfinity});
  }
};

/// Plans whose period and update lie between levels, ends included. None has a latency below
/// `latencySeconds`, hence none a step time below `bound`.
struct Box {
  int32_t firstPeriod, lastPeriod, firstUpdate, lastUpdate;
  double latencySeconds;
  double bound;

  bool isEmpty() const { return firstPeriod > lastPeriod || firstUpdate > lastUpdate; }
};

class StageSearch {
public:
  StageSearch(const StageProblem &problem, double cutoff)
      : problem(problem), uncounted(problem, false), levels(problem) {
    best.stepSeconds = cutoff;
  }

  std::optional<StageSolution> run() {
    push({0, last(levels.periods), 0, last(levels.updates), 0, 0});
    while (!boxes.empty() && boxes.top().bound < best.stepSeconds) {
      Box box = boxes.top();
      boxes.pop();
      explore(box);
    }
    return best.stages.empty() ? std::nullopt : std::optional(best);
  }

private:
  static int32_t last(const std::vector<double> &values) {
    return static_cast<int32_t>(values.size()) - 1;
  }
  static int32_t indexOf(const std::vector<double> &values, double value) {
    return static_cast<int32_t>(std::lower_bound(values.begin(), values.end(), value) -
                                values.begin());
  }

  void push(Box box) {
    if (box.isEmpty())
      return;
    // One microbatch has the single period infinity, and no cost of it.
    double periods = problem.numMicrobatches == 1
                         ? 0
                         : (problem.numMicrobatches - 1) * levels.periods[box.firstPeriod];
    box.bound = box.latencySeconds + periods + levels.updates[box.firstUpdate];
    if (box.bound < best.stepSeconds)
      boxes.push(box);
  }

  void explore(const Box &box) {
    StageSolution solution;
    const StageLimits limits{levels.periods[box.lastPeriod], levels.updates[box.lastUpdate]};
    solution.stages = uncounted.solve(limits);
    if (!uncounted.fitsIntoMemory(solution.stages)) {
      if (!counted)
        counted.emplace(problem, true);
      solution.stages = counted->solve(limits);
    }
    if (solution.stages.empty())
      return;
    StageEvaluation costs = problem.evaluate(solution.stages);
    solution.stepSeconds = costs.stepSeconds;
    if (solution.stepSeconds < best.stepSeconds)
      best = solution;
    split(box, costs);
  }

  void split(const Box &box, const StageEvaluation &costs) {
    int32_t period = std::max(box.firstPeriod, indexOf(levels.periods, costs.periodSeconds));
    period = std::min(period, box.lastPeriod);
    int32_t update = std::max(box.firstUpdate, indexOf(levels.updates, costs.updateSeconds));
    // Smaller periods, in two halves: the lower one soon tells what is feasible at all.
    int32_t middle = box.firstPeriod + (period - box.firstPeriod) / 2;
    double latency = costs.latencySeconds;
    push({box.firstPeriod, middle - 1, box.firstUpdate, box.lastUpdate, latency, 0});
    push({middle, period - 1, box.firstUpdate, box.lastUpdate, latency, 0});
    push({period, box.lastPeriod, box.firstUpdate, update - 1, latency, 0});
  }

  /// Least bound first; equal ones in a fixed order.
  struct IsWorse {
    bool operator()(const Box &a, const Box &b) const {
      return std::tie(a.bound, a.firstPeriod, a.firstUpdate) >
             std::tie(b.bound, b.firstPeriod, b.firstUpdate);
    }
  };

  const StageProblem &problem;
  SuffixProgram uncounted;
  std::optional<SuffixProgram> counted;
  const Levels levels;
  StageSolution best;
  std::priority_queue<Box, std::vector<Box>, IsWorse> boxes;
};

} // namespace

std::optional<StageSolution> solveStages(const StageProblem &problem, double cutoff) {
  problem.check();
  if (problem.candidates.empty())
    return std::nullopt;
  return StageSearch(problem, cutoff).run();
}

} // namespace alpa
