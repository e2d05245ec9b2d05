#include "core/sharding/search/PriceAscent.h"

#include <algorithm>

namespace alpa {
namespace {

// Adam's decay rates: gradients are exact, so they are averaged over fewer steps than in stochastic
// use.
constexpr double kMeanDecay = 0.9;
constexpr double kSquareDecay = 0.99;

} // namespace

PriceAscent::PriceAscent(const CoreProblem &core, DualAscent &dual, std::vector<double> prices)
    : core(core), dual(dual), current(std::move(prices)) {
  current.resize(core.numRows(), 0);
  for (int64_t capacity : core.rowCapacities)
    scale.push_back(static_cast<double>(std::max<int64_t>(capacity, 1)));
  for (size_t s = 0; s < core.segmentNode.size(); ++s) {
    auto usages = core.segmentUsages.begin();
    auto most =
        std::max_element(usages + core.segmentOffsets[s], usages + core.segmentOffsets[s + 1]);
    for (int32_t r = core.segmentBegin[s]; r < core.segmentEnd[s]; ++r)
      scale[r] = std::max(scale[r], static_cast<double>(*most));
  }
  mean.assign(core.numRows(), 0);
  square.assign(core.numRows(), 0);
  dual.setPrices(current);
  bestPrices = current;
}

/// The first answers can be many times too dear: what choices cost so far says more then.
double PriceAscent::distanceTo(int64_t cutoff) const {
  double distance = static_cast<double>(cutoff) - static_cast<double>(best);
  double paid = static_cast<double>(best) - static_cast<double>(core.constantCost);
  return std::max(std::min(distance, paid), 1.0);
}

void PriceAscent::step(const AscentSchedule &schedule, int32_t stepIndex, int64_t cutoff) {
  double left = 1 - static_cast<double>(stepIndex) / schedule.numSteps;
  double distance = distanceTo(cutoff);
  double length = distance * schedule.firstStep * (left * left + 1e-3);
  dual.setTemperature(distance * (schedule.firstTemperature * left * left * left + 1e-7));
  if (core.numRows() > 0 && stepIndex > 0) {
    std::vector<double> usage = dual.expectedUsage();
    double meanWeight = 1 - std::pow(kMeanDecay, stepIndex),
           squareWeight = 1 - std::pow(kSquareDecay, stepIndex);
    for (size_t r = 0; r < usage.size(); ++r) {
      double excess = (usage[r] - static_cast<double>(core.rowCapacities[r])) / scale[r];
      mean[r] = kMeanDecay * mean[r] + (1 - kMeanDecay) * excess;
      square[r] = kSquareDecay * square[r] + (1 - kSquareDecay) * excess * excess;
      double direction = mean[r] / meanWeight / (std::sqrt(square[r] / squareWeight) + 1e-3);
      current[r] = std::max(0.0, current[r] + length * direction / scale[r]);
    }
    dual.setPrices(current);
  }
  for (int32_t pass = 0; pass < schedule.passesPerStep; ++pass)
    dual.iterate();
  if (dual.lowerBound() > best) {
    best = dual.lowerBound();
    bestPrices = current;
  }
}

void PriceAscent::restoreBest() {
  current = bestPrices;
  dual.setPrices(current);
  dual.iterate();
  best = std::max(best, dual.lowerBound());
}

} // namespace alpa
