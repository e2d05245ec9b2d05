// The least cost of a step for every length of it, when costs are convex curves over whole time
// units: the time-cost tradeoff problem (Phillips and Dessouky 1977; Perseus, SOSP'24, section 4).
//
// All computations begin at their slowest. Each step of the frontier is one unit shorter, by the
// cheapest cut of the critical subgraph: what crosses it forwards becomes a unit faster, what
// crosses it backwards a unit slower. Cut costs are those of minimum cuts with lower bounds. The
// flow of a step is feasible for the next, where capacities are the old bounds, and is only
// augmented; node times move by one on the sink's side. So a step costs what changes in it, not a
// flow anew.
#pragma once

#include "core/energy/CostCurve.h"
#include <cstddef>
#include <utility>
#include <vector>

namespace alpa {

/// Points from the slowest on, each one unit shorter than the one before.
struct TradeoffFrontier {
  int32_t slowestUnits = 0;
  std::vector<double> joules;   ///< sum of the curves, per point
  std::vector<int32_t> slowest; ///< units per computation at point 0

  /// Per computation, the planned units at a point.
  std::vector<int32_t> unitsAt(size_t point) const;

  size_t size() const { return joules.size(); }
  int32_t stepUnits(size_t point) const { return slowestUnits - static_cast<int32_t>(point); }

  std::vector<std::pair<int32_t, int32_t>> changes; ///< computation, and units more
  std::vector<size_t> endOfChanges;                 ///< per point, of those that lead to it
};

/// The curves are one per computation, and the problem is checked. Costs are compared in
/// nanojoules, so that the same problem has the same frontier everywhere.
TradeoffFrontier solveTradeoff(const EnergyProblem &problem, const std::vector<CostCurve> &curves);

} // namespace alpa
