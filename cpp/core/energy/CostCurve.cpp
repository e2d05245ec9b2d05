#include "core/energy/CostCurve.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace alpa {
namespace {

constexpr double kNoise = 0.95;
constexpr size_t kTooFew = 3;
constexpr int kRateSteps = 400; // of the scan over rates, logarithmic
constexpr double kLeastRate = 1e-4, kMostRate = 1e3;

/// Those that no other beats in both time and energy, even if theirs were `noise` of the measured.
std::vector<CandidateChoice> filterChoices(const ComputationKind &kind, double noise,
                                           const EnergyProblem &problem) {
  std::vector<CandidateChoice> kept;
  for (size_t i = 0; i < kind.choices.size(); ++i) {
    const FrequencyChoice &choice = kind.choices[i];
    bool isBeaten =
        std::any_of(kind.choices.begin(), kind.choices.end(), [&](const FrequencyChoice &other) {
          return other.seconds < choice.seconds * noise && other.joules < choice.joules * noise;
        });
    if (!isBeaten)
      kept.push_back({static_cast<int32_t>(i), problem.unitsOf(choice.seconds), choice.joules});
  }
  std::stable_sort(
      kept.begin(), kept.end(), [](const CandidateChoice &a, const CandidateChoice &b) {
        return a.units != b.units ? a.units > b.units : a.effectiveJoules > b.effectiveJoules;
      });
  kept.erase(std::unique(kept.begin(), kept.end(),
                         [](const CandidateChoice &a, const CandidateChoice &b) {
                           return a.units == b.units;
                         }),
             kept.end());
  return kept;
}

struct Fit {
  double rate = 0;      ///< b times the range of units, negated
  double amplitude = 0; ///< at the least units
  double offset = 0;
  double squaredError = 0;
  double slope = 0; ///< of the squared error by the rate, but for a positive factor
};

/// For a given rate the best amplitude and offset are those of a linear regression (variable
/// projection, Golub and Pereyra 1973): what is left is a search in one dimension.
class RateSearch {
public:
  explicit RateSearch(const std::vector<CandidateChoice> &candidates) {
    first = candidates.back().units;
    range = candidates.front().units - first;
    for (const CandidateChoice &candidate : candidates) {
      places.push_back((candidate.units - first) / range);
      costs.push_back(candidate.effectiveJoules);
    }
  }

  /// The minimum of least error among all that fall and curve upwards; none where the error only
  /// falls towards a straight line or a step.
  std::optional<Fit> run() const {
    std::optional<Fit> best;
    Fit before = fitAt(kLeastRate);
    for (int step = 1; step <= kRateSteps; ++step) {
      Fit next = fitAt(kLeastRate * std::pow(kMostRate / kLeastRate, double(step) / kRateSteps));
      if (before.slope < 0 && next.slope >= 0) {
        Fit found = refine(before.rate, next.rate);
        if (found.amplitude > 0 && (!best || found.squaredError < best->squaredError))
          best = found;
      }
      before = next;
    }
    return best;
  }

  Exponential toExponential(const Fit &fit) const {
    double b = -fit.rate / range;
    return {fit.amplitude * std::exp(-b * first), b, fit.offset};
  }

private:
  Fit fitAt(double rate) const {
    size_t count = places.size();
    std::vector<double> powers(count);
    double meanPower = 0, meanCost = 0;
    for (size_t i = 0; i < count; ++i) {
      powers[i] = std::exp(-rate * places[i]);
      meanPower += powers[i] / count;
      meanCost += costs[i] / count;
    }
    double covariance = 0, variance = 0;
    for (size_t i = 0; i < count; ++i) {
      covariance += (powers[i] - meanPower) * (costs[i] - meanCost);
      variance += (powers[i] - meanPower) * (powers[i] - meanPower);
    }
    Fit fit{rate, covariance / variance, 0, 0, 0};
    fit.offset = meanCost - fit.amplitude * meanPower;
    for (size_t i = 0; i < count; ++i) {
      double residual = costs[i] - meanCost - fit.amplitude * (powers[i] - meanPower);
      fit.squaredError += residual * residual;
      fit.slope += residual * fit.amplitude * places[i] * powers[i];
    }
    return fit;
  }

  /// Bisection to the last bit.
  Fit refine(double low, double high) const {
    for (double middle = (low + high) / 2; low < middle && middle < high; middle = (low + high) / 2)
      (fitAt(middle).slope < 0 ? low : high) = middle;
    return fitAt(low);
  }

  double first = 0, range = 0;
  std::vector<double> places, costs; ///< places from 0 to 1
};

struct HullPoint {
  int32_t units;
  double joules;
};

/// The falling part of the lower convex hull, fastest first; of equal units the cheapest.
std::vector<HullPoint> fallingHull(std::vector<HullPoint> points) {
  std::sort(points.begin(), points.end(), [](const HullPoint &a, const HullPoint &b) {
    return a.units != b.units ? a.units < b.units : a.joules < b.joules;
  });
  std::vector<HullPoint> hull;
  for (const HullPoint &point : points) {
    if (!hull.empty() && (point.units == hull.back().units || point.joules >= hull.back().joules))
      continue;
    while (hull.size() >= 2) {
      const HullPoint &last = hull.back(), &before = hull[hull.size() - 2];
      double slope = (last.joules - before.joules) / (last.units - before.units);
      if (before.joules + slope * (point.units - before.units) < point.joules)
        break;
      hull.pop_back();
    }
    hull.push_back(point);
  }
  return hull;
}

CostCurve joinPoints(const std::vector<HullPoint> &hull) {
  CostCurve curve{hull.front().units, {hull.front().joules}};
  for (size_t i = 1; i < hull.size(); ++i) {
    double slope = (hull[i].joules - hull[i - 1].joules) / (hull[i].units - hull[i - 1].units);
    for (int32_t units = hull[i - 1].units + 1; units < hull[i].units; ++units)
      curve.joules.push_back(hull[i - 1].joules + slope * (units - hull[i - 1].units));
    curve.joules.push_back(hull[i].joules);
  }
  return curve;
}

/// The hull of all that was measured, in true seconds: a bound may leave nothing out.
CostCurve measuredHull(const ComputationKind &kind, double watts, const EnergyProblem &problem) {
  std::vector<HullPoint> points;
  for (const FrequencyChoice &choice : kind.choices)
    points.push_back({problem.unitsOf(choice.seconds), effectiveJoules(choice, watts)});
  return joinPoints(fallingHull(points));
}

CostCurve sample(const Exponential &fit, int32_t minUnits, int32_t maxUnits) {
  CostCurve curve{minUnits, {}};
  for (int32_t units = minUnits; units <= maxUnits; ++units)
    curve.joules.push_back(fit.a * std::exp(fit.b * units) + fit.c);
  return curve;
}

} // namespace

std::vector<CandidateChoice> candidateChoices(const ComputationKind &kind, double blockingWatts,
                                              const EnergyProblem &problem) {
  std::vector<CandidateChoice> candidates = filterChoices(kind, 1, problem);
  if (candidates.size() <= kTooFew)
    candidates = filterChoices(kind, kNoise, problem);
  for (CandidateChoice &candidate : candidates) // the order of the reference's products
    candidate.effectiveJoules -= blockingWatts * candidate.units * problem.unitSeconds;
  return candidates;
}

std::optional<Exponential> fitExponential(const std::vector<CandidateChoice> &candidates) {
  if (candidates.size() < 3)
    return std::nullopt;
  RateSearch search(candidates);
  std::optional<Fit> fit = search.run();
  return fit ? std::optional(search.toExponential(*fit)) : std::nullopt;
}

CostCurve costCurve(const ComputationKind &kind, double blockingWatts, const EnergyProblem &problem,
                    Relaxation relaxation) {
  if (relaxation == Relaxation::Hull || kind.isFixed)
    return measuredHull(kind, blockingWatts, problem);
  std::vector<CandidateChoice> candidates = candidateChoices(kind, blockingWatts, problem);
  if (std::optional<Exponential> fit = fitExponential(candidates))
    return sample(*fit, candidates.back().units, candidates.front().units);
  std::vector<HullPoint> points;
  for (const CandidateChoice &candidate : candidates)
    points.push_back({candidate.units, candidate.effectiveJoules});
  return joinPoints(fallingHull(points));
}

std::vector<CostCurve> costCurves(const EnergyProblem &problem, Relaxation relaxation) {
  std::map<std::pair<int32_t, double>, CostCurve> known; // stages share kinds, and devices power
  std::vector<CostCurve> curves;
  for (const Computation &computation : problem.computations) {
    double watts = problem.wattsOf(computation);
    auto [entry, isNew] = known.try_emplace({computation.kind, watts});
    if (isNew)
      entry->second = costCurve(problem.kinds[computation.kind], watts, problem, relaxation);
    curves.push_back(entry->second);
  }
  return curves;
}

} // namespace alpa
