// What a computation costs by its planned time: the choices that were measured, filtered as the
// reference does, become a convex curve over whole time units.
//
// The cost of a choice is its effective energy: joules less what the device would draw anyhow in
// that time while it waits. Two relaxations make curves of choices: the exponential a exp(b t) + c
// of the paper, which smooths noise, and the lower convex hull, which bounds every discrete plan.
#pragma once

#include "core/energy/EnergyProblem.h"
#include <optional>
#include <vector>

namespace alpa {

enum class Relaxation { Exponential, Hull };

/// Convex and falling: effective joules of every whole number of units from `minUnits` on.
struct CostCurve {
  int32_t minUnits = 0;
  std::vector<double> joules;

  int32_t maxUnits() const { return minUnits + static_cast<int32_t>(joules.size()) - 1; }
  double at(int32_t units) const { return joules[units - minUnits]; }
};

/// A choice that the reference plans with.
struct CandidateChoice {
  int32_t choice = 0; ///< in the kind
  int32_t units = 0;
  double effectiveJoules = 0;
};

/// Pareto filter, again with 5 % of noise allowed where it leaves 3 or fewer; of equal units the
/// choice of most energy, whose time is closest to them. Slowest first.
std::vector<CandidateChoice> candidateChoices(const ComputationKind &kind, double blockingWatts,
                                              const EnergyProblem &problem);

struct Exponential {
  double a = 0, b = 0, c = 0;
};

/// Least squares of a exp(b t) + c, a > 0 and b < 0, over (units, effective joules); none where no
/// such curve is best, for lack of candidates or because they neither fall nor curve upwards.
std::optional<Exponential> fitExponential(const std::vector<CandidateChoice> &candidates);

/// The curve of a kind on a device of that blocking power. Where no exponential fits, the
/// candidates are joined by their hull.
CostCurve costCurve(const ComputationKind &kind, double blockingWatts, const EnergyProblem &problem,
                    Relaxation relaxation);

/// One per computation.
std::vector<CostCurve> costCurves(const EnergyProblem &problem, Relaxation relaxation);

} // namespace alpa
