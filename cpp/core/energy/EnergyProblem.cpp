#include "core/energy/EnergyProblem.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <stdexcept>

namespace alpa {
namespace {

// Units of a whole step stay far within 32 bits, costs of all its computations within 64.
constexpr double kMostUnits = 1 << 20;
constexpr double kMostJoules = 1e6;

std::string toText(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

[[noreturn]] void fail(const std::string &where, const std::string &relation) {
  throw std::invalid_argument(where + ": expected " + relation);
}

void checkChoice(const ComputationKind &kind, const FrequencyChoice &choice, double unitSeconds) {
  if (!std::isfinite(choice.seconds) || choice.seconds < 0)
    fail(kind.name, "finite seconds of at least 0, got " + toText(choice.seconds));
  if (choice.seconds / unitSeconds > kMostUnits)
    fail(kind.name, "at most " + toText(kMostUnits) + " time units, got " +
                        toText(choice.seconds / unitSeconds) + "; use a longer unit");
  if (!std::isfinite(choice.joules) || choice.joules < 0 || choice.joules > kMostJoules)
    fail(kind.name, "joules between 0 and " + toText(kMostJoules) + ", got " +
                        toText(choice.joules) + " at " + toText(choice.megahertz) + " MHz");
}

/// Single measurements are noisy, so neighbours may be out of order; the ends may not.
void checkTrend(const ComputationKind &kind) {
  auto [lowest, highest] = std::minmax_element(
      kind.choices.begin(), kind.choices.end(),
      [](const FrequencyChoice &a, const FrequencyChoice &b) { return a.megahertz < b.megahertz; });
  if (lowest->megahertz == highest->megahertz)
    fail(kind.name, "choices of different frequencies, got " + toText(lowest->megahertz) +
                        " MHz for all of them");
  if (!(highest->seconds < lowest->seconds))
    fail(kind.name, "times that fall as frequencies rise, got " + toText(lowest->seconds) +
                        " s at " + toText(lowest->megahertz) + " MHz and " +
                        toText(highest->seconds) + " s at " + toText(highest->megahertz) + " MHz");
}

void checkKind(const ComputationKind &kind, double unitSeconds) {
  if (kind.choices.empty())
    fail(kind.name, "choices of frequency, got none; profile it");
  if (kind.isFixed && kind.choices.size() != 1)
    fail(kind.name,
         "one choice of what has a fixed time, got " + std::to_string(kind.choices.size()));
  if (!kind.isFixed && kind.choices.size() == 1)
    fail(kind.name, "at least two choices of frequency, got one; profile it at more, or state "
                    "that its time is fixed");
  for (const FrequencyChoice &choice : kind.choices)
    checkChoice(kind, choice, unitSeconds);
  if (!kind.isFixed)
    checkTrend(kind);
}

void checkIndex(const std::string &what, int32_t index, int32_t least, size_t count) {
  if (index < least || index >= static_cast<int32_t>(count))
    fail(what, "an index of at least " + std::to_string(least) + " and below " +
                   std::to_string(count) + ", got " + std::to_string(index));
}

} // namespace

void EnergyProblem::check() const {
  if (!std::isfinite(unitSeconds) || unitSeconds <= 0)
    fail("unitSeconds", "a time above 0, got " + toText(unitSeconds));
  if (computations.empty())
    fail("computations", "at least one, got none");
  for (double watts : blockingWatts)
    if (!std::isfinite(watts) || watts < 0)
      fail("blockingWatts", "finite power of at least 0, got " + toText(watts));
  for (const ComputationKind &kind : kinds)
    checkKind(kind, unitSeconds);
  for (const Computation &computation : computations) {
    checkIndex("kind of a computation", computation.kind, 0, kinds.size());
    checkIndex("device of a computation", computation.device, Computation::kNoDevice,
               blockingWatts.size());
  }
  for (auto [before, after] : dependencies) {
    checkIndex("dependency", before, 0, computations.size());
    checkIndex("dependency", after, 0, computations.size());
  }
  topologicalOrder(*this);
}

double EnergyProblem::wattsOf(const Computation &computation) const {
  return computation.device == Computation::kNoDevice ? 0 : blockingWatts[computation.device];
}

double EnergyProblem::totalBlockingWatts() const {
  return std::accumulate(blockingWatts.begin(), blockingWatts.end(), 0.0);
}

int32_t EnergyProblem::unitsOf(double seconds) const {
  // As Python's `//`, the definition of the reference: the remainder is exact, so a quotient that
  // only rounds up to a whole number does not count as one.
  double remainder = std::fmod(seconds, unitSeconds);
  return static_cast<int32_t>(std::llround((seconds - remainder) / unitSeconds));
}

std::vector<int32_t> topologicalOrder(const EnergyProblem &problem) {
  size_t count = problem.computations.size();
  std::vector<std::vector<int32_t>> next(count);
  std::vector<int32_t> numAwaited(count, 0), order;
  for (auto [before, after] : problem.dependencies) {
    next[before].push_back(after);
    ++numAwaited[after];
  }
  for (size_t i = 0; i < count; ++i)
    if (numAwaited[i] == 0)
      order.push_back(static_cast<int32_t>(i));
  for (size_t i = 0; i < order.size(); ++i)
    for (int32_t after : next[order[i]])
      if (--numAwaited[after] == 0)
        order.push_back(after);
  if (order.size() < count)
    fail("dependencies", "computations that do not wait for one another, got a circle of " +
                             std::to_string(count - order.size()) + " or fewer");
  return order;
}

} // namespace alpa
