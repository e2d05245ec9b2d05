// Why this is exact. Step time is latency + (m - 1) * period + update, and only the latency is a
// sum over stages. Under upper limits on period and update the program below finds the least
// latency L. Let the plan found have period p and update u: a better plan within the same limits
// has latency of at least L, so a smaller period than p or a smaller update than u. The search
// splits the limits there, and drops a box when L + (m - 1) * its smallest period + its smallest
// update is no better than the best plan known (the paper's early pruning).
//
// A stage's memory depends on how many stages follow (1F1B), hence the number of stages is part
// of the state, as far as any candidate's memory depends on it.

#include "core/stages/StageDp.h"

#include <cstddef>
#include <queue>
#include <stdexcept>
#include <tuple>

namespace alpa {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Limits {
  double periodSeconds;
  double updateSeconds;
};

/// The dynamic program for one pair of limits. `latencies[at(layer, submesh, devices) + s - 1]` is
/// the least latency of a suffix that starts at `layer` on `submesh`, takes exactly `devices`
/// devices and s stages; s = `numCounts` stands for that many or more.
class SuffixProgram {
public:
  explicit SuffixProgram(const StageProblem &problem);

  /// The stages of least latency within the limits, or none.
  std::vector<int32_t> solve(Limits limits);

private:
  struct State {
    int32_t layer, submesh, devices, count;
  };

  int32_t numSubmeshes() const { return static_cast<int32_t>(problem.submeshes.size()); }
  int32_t devicesOf(int32_t submesh) const { return problem.submeshes[submesh].numDevices(); }
  size_t group(int32_t first, int32_t end, int32_t submesh) const {
    return (static_cast<size_t>(first) * (problem.numLayers + 1) + end) * numSubmeshes() + submesh;
  }
  size_t at(int32_t layer, int32_t submesh, int32_t devices) const {
    size_t row = static_cast<size_t>(layer) * numSubmeshes() + submesh;
    return (row * (problem.cluster.numDevices() + 1) + devices) * numCounts;
  }
  int32_t mostStagesToEnd(const StageCandidate &candidate) const;
  void findFastest(double updateLimit);
  void extend(int32_t first, int32_t end, int32_t submesh, double periodLimit);
  std::optional<State> findStart() const;
  std::optional<State> findNext(const State &state, double periodLimit) const;
  int32_t findCandidate(const State &state, int32_t end, double updateLimit) const;
  std::vector<int32_t> trace(Limits limits) const;

  const StageProblem &problem;
  int32_t mostStages;
  int32_t numCounts = 1;
  std::vector<int32_t> stagesToEnd;         ///< per candidate: the most its memory allows
  std::vector<std::vector<int32_t>> groups; ///< candidates by layers and submesh
  std::vector<double> fastest;              ///< [group][count]: least compute time allowed
  std::vector<double> fastestOfGroup;       ///< over all counts
  std::vector<double> latencies;
  std::vector<char> reachable; ///< [state without count]
};

SuffixProgram::SuffixProgram(const StageProblem &problem)
    : problem(problem), mostStages(std::min(problem.numLayers, problem.cluster.numDevices())) {
  groups.resize(group(problem.numLayers, 0, 0));
  for (const StageCandidate &candidate : problem.candidates) {
    int32_t most = mostStagesToEnd(candidate);
    if (most > 0)
      groups[group(candidate.firstLayer, candidate.endLayer, candidate.submesh)].push_back(
          static_cast<int32_t>(stagesToEnd.size()));
    if (most > 0 && most < mostStages)
      numCounts = std::max(numCounts, most + 1);
    stagesToEnd.push_back(most);
  }
  fastest.resize(groups.size() * numCounts);
  fastestOfGroup.resize(groups.size());
  latencies.resize(at(problem.numLayers, 0, 0));
  reachable.resize(latencies.size() / numCounts);
}

int32_t SuffixProgram::mostStagesToEnd(const StageCandidate &candidate) const {
  int32_t count = 0;
  while (count < mostStages &&
         candidate.residentBytes +
                 candidate.activationBytes *
                     maxInFlight(problem.schedule, count + 1, problem.numMicrobatches) <=
             problem.memoryLimitBytes)
    ++count;
  return count;
}

void SuffixProgram::findFastest(double updateLimit) {
  std::fill(fastest.begin(), fastest.end(), kInfinity);
  std::fill(fastestOfGroup.begin(), fastestOfGroup.end(), kInfinity);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (int32_t index : groups[g]) {
      const StageCandidate &candidate = problem.candidates[index];
      if (candidate.updateSeconds > updateLimit)
        continue;
      double *times = &fastest[g * numCounts];
      for (int32_t s = 0; s < std::min(numCounts, stagesToEnd[index]); ++s)
        times[s] = std::min(times[s], candidate.computeSeconds);
      fastestOfGroup[g] = std::min(fastestOfGroup[g], candidate.computeSeconds);
    }
  }
}

/// Puts a stage of layers [first, end) on `submesh` before every suffix that starts at `end`.
void SuffixProgram::extend(int32_t first, int32_t end, int32_t submesh, double periodLimit) {
  size_t g = group(first, end, submesh);
  const double *times = &fastest[g * numCounts];
  const int32_t size = devicesOf(submesh), allDevices = problem.cluster.numDevices();
  if (end == problem.numLayers) {
    if (times[0] <= periodLimit) {
      latencies[at(first, submesh, size)] = std::min(latencies[at(first, submesh, size)], times[0]);
      reachable[at(first, submesh, size) / numCounts] = true;
    }
    return;
  }
  for (int32_t next = 0; next < numSubmeshes(); ++next) {
    const double sent = problem.transfer(end, submesh, next);
    if (stagePeriod(problem.schedule, fastestOfGroup[g], sent) > periodLimit)
      continue;
    for (int32_t devices = size + devicesOf(next); devices <= allDevices; ++devices) {
      if (!reachable[at(end, next, devices - size) / numCounts])
        continue;
      double *result = &latencies[at(first, submesh, devices)];
      const double *rest = &latencies[at(end, next, devices - size)];
      reachable[at(first, submesh, devices) / numCounts] = true;
      auto relax = [&](int32_t count, double restSeconds) {
        bool isAllowed = stagePeriod(problem.schedule, times[count], sent) <= periodLimit;
        double seconds = times[count] + sent + restSeconds;
        result[count] = std::min(result[count], isAllowed ? seconds : kInfinity);
      };
      for (int32_t count = 1; count < numCounts; ++count)
        relax(count, rest[count - 1]);
      relax(numCounts - 1, rest[numCounts - 1]);
    }
  }
}

std::vector<int32_t> SuffixProgram::solve(Limits limits) {
  findFastest(limits.updateSeconds);
  std::fill(latencies.begin(), latencies.end(), kInfinity);
  std::fill(reachable.begin(), reachable.end(), false);
  for (int32_t first = problem.numLayers - 1; first >= 0; --first)
    for (int32_t submesh = 0; submesh < numSubmeshes(); ++submesh)
      for (int32_t end = first + 1; end <= problem.numLayers; ++end)
        if (fastestOfGroup[group(first, end, submesh)] <= limits.periodSeconds)
          extend(first, end, submesh, limits.periodSeconds);
  return trace(limits);
}

std::optional<SuffixProgram::State> SuffixProgram::findStart() const {
  const int32_t devices = problem.cluster.numDevices();
  std::optional<State> best;
  double least = kInfinity;
  for (int32_t submesh = 0; submesh < numSubmeshes(); ++submesh)
    for (int32_t count = 0; count < numCounts; ++count)
      if (double seconds = latencies[at(0, submesh, devices) + count]; seconds < least) {
        least = seconds;
        best = State{0, submesh, devices, count};
      }
  return best;
}

/// The state after the first stage of `state`, found by asking which sum gave `state` its value;
/// none if that stage is the last.
std::optional<SuffixProgram::State> SuffixProgram::findNext(const State &state,
                                                            double periodLimit) const {
  const double target = latencies[at(state.layer, state.submesh, state.devices) + state.count];
  const int32_t left = state.devices - devicesOf(state.submesh);
  if (left == 0)
    return std::nullopt;
  for (int32_t end = state.layer + 1; end < problem.numLayers; ++end) {
    double time = fastest[group(state.layer, end, state.submesh) * numCounts + state.count];
    for (int32_t next = 0; next < numSubmeshes(); ++next) {
      double sent = problem.transfer(end, state.submesh, next);
      if (stagePeriod(problem.schedule, time, sent) > periodLimit)
        continue;
      const double *rest = &latencies[at(end, next, left)];
      if (state.count > 0 && time + sent + rest[state.count - 1] == target)
        return State{end, next, left, state.count - 1};
      if (state.count == numCounts - 1 && time + sent + rest[state.count] == target)
        return State{end, next, left, state.count};
    }
  }
  throw std::logic_error("stage program: a latency without a suffix that has it");
}

int32_t SuffixProgram::findCandidate(const State &state, int32_t end, double updateLimit) const {
  size_t g = group(state.layer, end, state.submesh);
  for (int32_t index : groups[g]) {
    const StageCandidate &candidate = problem.candidates[index];
    if (candidate.computeSeconds == fastest[g * numCounts + state.count] &&
        candidate.updateSeconds <= updateLimit && state.count < stagesToEnd[index])
      return index;
  }
  throw std::logic_error("stage program: a time without a candidate that has it");
}

std::vector<int32_t> SuffixProgram::trace(Limits limits) const {
  std::vector<int32_t> stages;
  std::optional<State> state = findStart();
  while (state) {
    std::optional<State> next = findNext(*state, limits.periodSeconds);
    int32_t end = next ? next->layer : problem.numLayers;
    stages.push_back(findCandidate(*state, end, limits.updateSeconds));
    state = next;
  }
  return stages;
}

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
      : problem(problem), program(problem), levels(problem) {
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
    solution.stages =
        program.solve({levels.periods[box.lastPeriod], levels.updates[box.lastUpdate]});
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
  SuffixProgram program;
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
