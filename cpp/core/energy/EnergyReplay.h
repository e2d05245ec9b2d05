// The judge of energy plans and frontiers: an event simulation that shares no code with what plans.
#pragma once

#include "core/energy/CostCurve.h"
#include "core/energy/TradeoffFrontier.h"
#include <vector>

namespace alpa {

struct EnergyReplay {
  std::vector<double> startSeconds; ///< per computation
  double makespanSeconds = 0;
  double joules = 0; ///< of all devices until the makespan, waiting included
};

/// Runs every computation as soon as what it depends on has ended, with its chosen frequency (an
/// index per computation). Throws std::invalid_argument for a choice that the kind lacks, or if a
/// device would run two computations at once.
EnergyReplay replayEnergy(const EnergyProblem &problem, const std::vector<int32_t> &choices);

/// Proves every point of a frontier: units within the curves, the length of the step, the sum of
/// costs, and that costs rise ever faster as steps get shorter. Throws std::logic_error naming the
/// first point that breaks a rule.
void verifyFrontier(const EnergyProblem &problem, const std::vector<CostCurve> &curves,
                    const TradeoffFrontier &frontier);

} // namespace alpa
