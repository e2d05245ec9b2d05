// EfficiencyCurve: check and interpolation.

#include "core/mesh/EfficiencyCurve.h"
#include <algorithm>
#include <cmath>

namespace alpa {

double EfficiencyCurve::at(double size) const {
  if (size <= 0)
    return 0;
  if (size <= sizes.front())
    return seconds.front() * (size / sizes.front());
  if (size >= sizes.back())
    return seconds.back() * (size / sizes.back());
  const auto above = std::upper_bound(sizes.begin(), sizes.end(), size);
  const size_t i = above - sizes.begin() - 1;
  const double part = std::log(size / sizes[i]) / std::log(sizes[i + 1] / sizes[i]);
  return seconds[i] * std::pow(seconds[i + 1] / seconds[i], part);
}

std::string EfficiencyCurve::complaint() const {
  if (sizes.empty() || sizes.size() != seconds.size())
    return "expected one number of seconds for each of one or more sizes, got " +
           std::to_string(seconds.size()) + " for " + std::to_string(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    const bool isPositive = sizes[i] > 0 && seconds[i] > 0;
    if (!isPositive || !std::isfinite(sizes[i]) || !std::isfinite(seconds[i]))
      return "expected positive and finite sizes and seconds";
    if (i > 0 && (sizes[i] <= sizes[i - 1] || seconds[i] < seconds[i - 1]))
      return "expected sizes that rise and seconds that do not fall";
  }
  return "";
}

} // namespace alpa
