// Why this is exact. Step time is latency + (m - 1) * period + update, and only the latency is a
// sum over stages. Under upper limits on period and update the program below finds the least
// latency L. Let the plan found have period p and update u: a better plan within the same limits
// has latency of at least L, so a smaller period than p or a smaller update than u. The search
// splits the limits there, and drops a box when L + (m - 1) * its smallest period + its smallest
// update is no better than the best plan known (the paper's early pruning).
//
// A stage's memory depends on how many stages follow (1F1B), hence the number of stages is part
// of the state, as far as any candidate's memory depends on it. That makes the state many times as
// large, so it is left out at first: what is least without it and fits all the same is the least.

#include "core/stages/StageDp.h"

#include <cstddef>
#include <map>
#include <numeric>
#include <queue>
#include <set>
#include <stdexcept>
#include <tuple>

namespace alpa {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Limits {
  double periodSeconds;
  double updateSeconds;
};

/// The dynamic program for one pair of limits. `latencies[at(layer, submesh, units) + s - 1]` is
/// the least latency of a suffix that starts at `layer` on `submesh`, takes exactly `units` units
/// of devices and s stages; s = `numCounts` stands for that many or more. A unit is what the
/// submeshes in use are multiples of.
class SuffixProgram {
public:
  /// Unless it `countsStages`, stages need not fit into memory with those that follow.
  SuffixProgram(const StageProblem &problem, bool countsStages);

  /// The stages of least latency within the limits, or none.
  std::vector<int32_t> solve(Limits limits);

  bool fitsIntoMemory(const std::vector<int32_t> &stages) const;

private:
  struct State {
    int32_t layer, submesh, units, count;
  };
  /// The candidates for some layers on a submesh.
  struct Group {
    int32_t first, end, submesh;
    std::vector<int32_t> candidates;
  };
  /// What suffixes from a layer and submesh may take, ends included.
  struct Range {
    int32_t first = std::numeric_limits<int32_t>::max(), last = -1;
  };

  int32_t numSubmeshes() const { return static_cast<int32_t>(problem.submeshes.size()); }
  int32_t unitsOf(int32_t submesh) const {
    return problem.submeshes[submesh].numDevices() / devicesPerUnit;
  }
  void findSubmeshes();
  size_t row(int32_t layer, int32_t submesh) const {
    return static_cast<size_t>(layer) * numSubmeshes() + submesh;
  }
  size_t at(int32_t layer, int32_t submesh, int32_t units) const {
    return (row(layer, submesh) * (numUnits + 1) + units) * numCounts;
  }
  int32_t mostStagesToEnd(const StageCandidate &candidate) const;
  void findFastest(double updateLimit);
  void extend(size_t g, double periodLimit);
  std::optional<State> findStart() const;
  std::optional<State> findNext(const State &state, double periodLimit) const;
  int32_t findCandidate(const State &state, int32_t end, double updateLimit) const;
  std::vector<int32_t> trace(Limits limits) const;

  const StageProblem &problem;
  int32_t mostStages;
  int32_t numCounts = 1;
  int32_t devicesPerUnit = 1, numUnits = 0;
  std::vector<int32_t> used;                    ///< submeshes that candidates have
  std::vector<int32_t> stagesToEnd;             ///< per candidate: the most its memory allows
  std::vector<Group> groups;                    ///< that have candidates
  std::vector<std::vector<int32_t>> groupsFrom; ///< [row]: those that start there, by their end
  std::vector<double> fastest;                  ///< [group][count]: least compute time allowed
  std::vector<double> fastestOfGroup;           ///< over all counts
  std::vector<double> latencies;
  std::vector<Range> reachable; ///< [row]
  std::vector<double> times;    ///< of a stage and what it sends, by count; infinite where too long
};

SuffixProgram::SuffixProgram(const StageProblem &problem, bool countsStages)
    : problem(problem), mostStages(std::min(problem.numLayers, problem.cluster.numDevices())) {
  std::map<std::tuple<int32_t, int32_t, int32_t>, std::vector<int32_t>> alike;
  for (const StageCandidate &candidate : problem.candidates) {
    int32_t most = mostStagesToEnd(candidate);
    if (most > 0)
      alike[{candidate.firstLayer, candidate.submesh, candidate.endLayer}].push_back(
          static_cast<int32_t>(stagesToEnd.size()));
    if (countsStages && most > 0 && most < mostStages)
      numCounts = std::max(numCounts, most + 1);
    stagesToEnd.push_back(most);
  }
  findSubmeshes();
  groupsFrom.resize(row(problem.numLayers, 0));
  for (auto &[place, candidates] : alike) {
    auto [first, submesh, end] = place;
    groupsFrom[row(first, submesh)].push_back(static_cast<int32_t>(groups.size()));
    groups.push_back({first, end, submesh, std::move(candidates)});
  }
  fastest.resize(groups.size() * numCounts);
  fastestOfGroup.resize(groups.size());
  latencies.resize(at(problem.numLayers, 0, 0));
  reachable.resize(row(problem.numLayers, 0));
  times.resize(numCounts);
}

void SuffixProgram::findSubmeshes() {
  std::set<int32_t> found;
  for (const StageCandidate &candidate : problem.candidates)
    found.insert(candidate.submesh);
  used.assign(found.begin(), found.end());
  devicesPerUnit = problem.cluster.numDevices();
  for (int32_t submesh : used)
    devicesPerUnit = std::gcd(devicesPerUnit, problem.submeshes[submesh].numDevices());
  numUnits = problem.cluster.numDevices() / devicesPerUnit;
}

int32_t SuffixProgram::mostStagesToEnd(const StageCandidate &candidate) const {
  int32_t count = 0;
  while (count < mostStages &&
         candidate.bytes(maxInFlight(problem.schedule, count + 1, problem.numMicrobatches)) <=
             problem.memoryLimitBytes)
    ++count;
  return count;
}

void SuffixProgram::findFastest(double updateLimit) {
  std::fill(fastest.begin(), fastest.end(), kInfinity);
  std::fill(fastestOfGroup.begin(), fastestOfGroup.end(), kInfinity);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (int32_t index : groups[g].candidates) {
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

/// Puts a stage of the group before every suffix that starts where it ends.
void SuffixProgram::extend(size_t g, double periodLimit) {
  const auto &[first, end, submesh, candidates] = groups[g];
  const double *fast = &fastest[g * numCounts];
  const int32_t size = unitsOf(submesh);
  Range &range = reachable[row(first, submesh)];
  auto reach = [&](int32_t least, int32_t most) {
    range.first = std::min(range.first, least);
    range.last = std::max(range.last, most);
  };
  if (end == problem.numLayers) {
    if (fast[0] > periodLimit)
      return;
    double &latency = latencies[at(first, submesh, size)];
    latency = std::min(latency, fast[0]);
    return reach(size, size);
  }
  // Of the layers behind it at most that many stages are made.
  const int32_t most = std::min(numCounts - 1, problem.numLayers - end);
  for (int32_t next : used) {
    const double sent = problem.transfer(end, submesh, next);
    const Range &rest = reachable[row(end, next)];
    const int32_t last = std::min(rest.last, numUnits - size);
    if (rest.first > last || stagePeriod(problem.schedule, fastestOfGroup[g], sent) > periodLimit)
      continue;
    for (int32_t count = 0; count < numCounts; ++count) {
      const bool isAllowed = stagePeriod(problem.schedule, fast[count], sent) <= periodLimit;
      times[count] = isAllowed ? fast[count] + sent : kInfinity;
    }
    for (int32_t units = rest.first; units <= last; ++units) {
      double *result = &latencies[at(first, submesh, units + size)];
      const double *after = &latencies[at(end, next, units)];
      for (int32_t count = 1; count <= most; ++count)
        result[count] = std::min(result[count], times[count] + after[count - 1]);
      result[numCounts - 1] =
          std::min(result[numCounts - 1], times[numCounts - 1] + after[numCounts - 1]);
    }
    reach(rest.first + size, last + size);
  }
}

bool SuffixProgram::fitsIntoMemory(const std::vector<int32_t> &stages) const {
  for (size_t i = 0; i < stages.size(); ++i)
    if (stagesToEnd[stages[i]] < static_cast<int32_t>(stages.size() - i))
      return false;
  return true;
}

std::vector<int32_t> SuffixProgram::solve(Limits limits) {
  findFastest(limits.updateSeconds);
  std::fill(latencies.begin(), latencies.end(), kInfinity);
  std::fill(reachable.begin(), reachable.end(), Range());
  for (int32_t first = problem.numLayers - 1; first >= 0; --first)
    for (int32_t submesh : used)
      for (int32_t g : groupsFrom[row(first, submesh)])
        if (fastestOfGroup[g] <= limits.periodSeconds)
          extend(g, limits.periodSeconds);
  return trace(limits);
}

std::optional<SuffixProgram::State> SuffixProgram::findStart() const {
  std::optional<State> best;
  double least = kInfinity;
  for (int32_t submesh : used)
    for (int32_t count = 0; count < numCounts; ++count)
      if (double seconds = latencies[at(0, submesh, numUnits) + count]; seconds < least) {
        least = seconds;
        best = State{0, submesh, numUnits, count};
      }
  return best;
}

/// The state after the first stage of `state`, found by asking which sum gave `state` its value;
/// none if that stage is the last.
std::optional<SuffixProgram::State> SuffixProgram::findNext(const State &state,
                                                            double periodLimit) const {
  const double target = latencies[at(state.layer, state.submesh, state.units) + state.count];
  const int32_t left = state.units - unitsOf(state.submesh);
  if (left == 0)
    return std::nullopt;
  for (int32_t g : groupsFrom[row(state.layer, state.submesh)]) {
    const int32_t end = groups[g].end;
    if (end == problem.numLayers)
      continue;
    double time = fastest[g * static_cast<size_t>(numCounts) + state.count];
    for (int32_t next : used) {
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
  for (size_t g : groupsFrom[row(state.layer, state.submesh)]) {
    if (groups[g].end != end)
      continue;
    for (int32_t index : groups[g].candidates) {
      const StageCandidate &candidate = problem.candidates[index];
      if (candidate.computeSeconds == fastest[g * numCounts + state.count] &&
          candidate.updateSeconds <= updateLimit && state.count < stagesToEnd[index])
        return index;
    }
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
    const Limits limits{levels.periods[box.lastPeriod], levels.updates[box.lastUpdate]};
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
