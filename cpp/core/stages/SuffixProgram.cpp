// Backwards over layers: the best stages from a layer on, by what they take of the cluster.

#include "core/stages/SuffixProgram.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <tuple>

namespace alpa {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

} // namespace

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

std::vector<int32_t> SuffixProgram::solve(StageLimits limits) {
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

std::vector<int32_t> SuffixProgram::trace(StageLimits limits) const {
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

} // namespace alpa
