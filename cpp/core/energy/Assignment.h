// Frequencies for every computation, so that the step of least energy meets a deadline: the
// discrete problem, whose bound is the frontier of the hulls.
#pragma once

#include "core/energy/CostCurve.h"
#include <vector>

namespace alpa {

struct Assignment {
  std::vector<int32_t> choices; ///< per computation, an index into its kind's choices
  double makespanSeconds = 0;
  double effectiveJoules = 0; ///< without what devices draw all the time
  bool isOptimal = false;     ///< proved by exhaustion
};

/// What an assignment costs beyond the computations themselves.
enum class Horizon {
  Makespan, ///< devices draw blocking power until the step ends
  Deadline, ///< until the deadline, whenever the step ends: a straggler elsewhere
};

/// The reference's rounding: the slowest candidate whose units are at most the planned ones.
std::vector<int32_t> roundToChoices(const EnergyProblem &problem,
                                    const std::vector<int32_t> &units);

/// All computations as fast as they can be.
std::vector<int32_t> fastestChoices(const EnergyProblem &problem);

/// A plan within the deadline (seconds), made from `start`: computations on the longest way get
/// faster until it is met, others move to cheaper choices while there is slack, and pairs exchange
/// time. Small problems are solved exactly. Where even the fastest choices miss the deadline, those
/// are the plan.
Assignment assignChoices(const EnergyProblem &problem, const std::vector<int32_t> &start,
                         double deadlineSeconds, Horizon horizon);

} // namespace alpa
