// Prices on memory rows that raise the lower bound: gradient ascent on the Lagrangian dual.
//
// The gradient of the bound in a row's price is how far the row is exceeded. Taken at one best
// answer it jumps between "too much" and "too little"; taken as an expectation over near-best
// strategies (DualAscent::expectedUsage) it is smooth, and Adam (Kingma and Ba 2015) with a falling
// step and temperature converges in some hundred passes.
#pragma once

#include "core/sharding/search/DualAscent.h"

namespace alpa {

struct AscentSchedule {
  int32_t numSteps = 300;
  int32_t passesPerStep = 2;
  double firstStep = 0.01;         ///< of the distance to the cutoff, as price of a whole row
  double firstTemperature = 0.001; ///< of the distance to the cutoff
};

class PriceAscent {
public:
  /// Both must outlive this. `prices` are to start from, per row and byte (empty: none).
  PriceAscent(const CoreProblem &core, DualAscent &dual, std::vector<double> prices = {});

  /// One step of `schedule`; its length follows from the distance between the bound and `cutoff`.
  void step(const AscentSchedule &schedule, int32_t stepIndex, int64_t cutoff);

  int64_t bestBound() const { return best; }
  const std::vector<double> &prices() const { return current; }

  /// Returns to the prices of the best bound.
  void restoreBest();

private:
  double distanceTo(int64_t cutoff) const;

  const CoreProblem &core;
  DualAscent &dual;
  std::vector<double> scale; ///< bytes that count as a whole row: its capacity or largest user
  std::vector<double> current, bestPrices, mean, square;
  int64_t best = 0;
};

} // namespace alpa
