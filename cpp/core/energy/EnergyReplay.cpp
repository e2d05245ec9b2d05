#include "core/energy/EnergyReplay.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <stdexcept>
#include <string>

namespace alpa {
namespace {

// Of effective energies, whose sums may cancel.
constexpr double kTolerance = 1e-6;

/// When each computation starts, from events of computations that end.
std::vector<double> runEvents(const EnergyProblem &problem, const std::vector<double> &durations) {
  using Event = std::pair<double, int32_t>;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> ends;
  std::vector<int32_t> numAwaited(durations.size(), 0);
  std::vector<std::vector<int32_t>> waiting(durations.size());
  for (auto [before, after] : problem.dependencies) {
    ++numAwaited[after];
    waiting[before].push_back(after);
  }
  std::vector<double> starts(durations.size(), -1);
  auto start = [&](int32_t computation, double now) {
    starts[computation] = now;
    ends.emplace(now + durations[computation], computation);
  };
  for (size_t i = 0; i < durations.size(); ++i)
    if (numAwaited[i] == 0)
      start(static_cast<int32_t>(i), 0);
  while (!ends.empty()) {
    auto [now, ended] = ends.top();
    ends.pop();
    for (int32_t after : waiting[ended])
      if (--numAwaited[after] == 0)
        start(after, now);
  }
  return starts;
}

void checkDevices(const EnergyProblem &problem, const std::vector<double> &starts,
                  const std::vector<double> &durations) {
  std::vector<std::vector<std::pair<double, double>>> busy(problem.blockingWatts.size());
  for (size_t i = 0; i < starts.size(); ++i)
    if (int32_t device = problem.computations[i].device; device != Computation::kNoDevice)
      busy[device].emplace_back(starts[i], starts[i] + durations[i]);
  for (size_t device = 0; device < busy.size(); ++device) {
    std::sort(busy[device].begin(), busy[device].end());
    for (size_t i = 1; i < busy[device].size(); ++i)
      if (busy[device][i].first < busy[device][i - 1].second)
        throw std::invalid_argument("device " + std::to_string(device) +
                                    ": expected one computation at a time, got two at " +
                                    std::to_string(busy[device][i].first) +
                                    " s; let one depend on the other");
  }
}

[[noreturn]] void fail(size_t point, const std::string &relation) {
  throw std::logic_error("point " + std::to_string(point) + ": expected " + relation);
}

void verifyPoint(const EnergyProblem &problem, const std::vector<CostCurve> &curves,
                 const TradeoffFrontier &frontier, size_t point) {
  std::vector<int32_t> units = frontier.unitsAt(point);
  std::vector<double> durations(units.begin(), units.end());
  double joules = 0;
  for (size_t i = 0; i < units.size(); ++i) {
    if (units[i] < curves[i].minUnits || units[i] > curves[i].maxUnits())
      fail(point, "units of computation " + std::to_string(i) + " on its curve, got " +
                      std::to_string(units[i]));
    joules += curves[i].at(units[i]);
  }
  std::vector<double> starts = runEvents(problem, durations);
  double length = 0;
  for (size_t i = 0; i < units.size(); ++i)
    length = std::max(length, starts[i] + durations[i]);
  if (length > frontier.stepUnits(point))
    fail(point, "a step of " + std::to_string(frontier.stepUnits(point)) + " units, got " +
                    std::to_string(length));
  if (std::abs(joules - frontier.joules[point]) > kTolerance)
    fail(point, "the sum of costs " + std::to_string(joules) + ", got " +
                    std::to_string(frontier.joules[point]));
}

} // namespace

EnergyReplay replayEnergy(const EnergyProblem &problem, const std::vector<int32_t> &choices) {
  if (choices.size() != problem.computations.size())
    throw std::invalid_argument("choices: expected " + std::to_string(problem.computations.size()) +
                                ", got " + std::to_string(choices.size()));
  std::vector<double> durations, busySeconds(problem.blockingWatts.size(), 0);
  EnergyReplay replay;
  for (size_t i = 0; i < choices.size(); ++i) {
    const Computation &computation = problem.computations[i];
    const ComputationKind &kind = problem.kinds[computation.kind];
    if (choices[i] < 0 || choices[i] >= static_cast<int32_t>(kind.choices.size()))
      throw std::invalid_argument(kind.name + ": expected a choice below " +
                                  std::to_string(kind.choices.size()) + ", got " +
                                  std::to_string(choices[i]));
    const FrequencyChoice &choice = kind.choices[choices[i]];
    durations.push_back(choice.seconds);
    replay.joules += choice.joules;
    if (computation.device != Computation::kNoDevice)
      busySeconds[computation.device] += choice.seconds;
  }
  replay.startSeconds = runEvents(problem, durations);
  checkDevices(problem, replay.startSeconds, durations);
  for (size_t i = 0; i < choices.size(); ++i)
    replay.makespanSeconds =
        std::max(replay.makespanSeconds, replay.startSeconds[i] + durations[i]);
  for (size_t device = 0; device < busySeconds.size(); ++device)
    replay.joules += problem.blockingWatts[device] * (replay.makespanSeconds - busySeconds[device]);
  return replay;
}

void verifyFrontier(const EnergyProblem &problem, const std::vector<CostCurve> &curves,
                    const TradeoffFrontier &frontier) {
  for (size_t point = 0; point < frontier.size(); ++point)
    verifyPoint(problem, curves, frontier, point);
  for (size_t point = 2; point < frontier.size(); ++point) {
    double before = frontier.joules[point - 1] - frontier.joules[point - 2];
    double now = frontier.joules[point] - frontier.joules[point - 1];
    if (before < -kTolerance || now < before - kTolerance)
      fail(point, "a rise of at least " + std::to_string(before) + " J from a unit longer, got " +
                      std::to_string(now));
  }
}

} // namespace alpa
