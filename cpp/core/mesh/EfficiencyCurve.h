// What ops of a class really take on a device, by measurement: seconds by size.
#pragma once

#include <string>
#include <vector>

namespace alpa {

/// Seconds of one run by size (FLOP or bytes) at measured points. Interpolated with both axes
/// logarithmic; beyond the ends the rate stays that of the end, so that nothing takes no time and a
/// larger op never takes less.
struct EfficiencyCurve {
  std::vector<double> sizes;
  std::vector<double> seconds;

  /// Seconds for a size; 0 for 0.
  double at(double size) const;
  /// What is wrong, as "expected ..."; empty where there are points, both coordinates are positive
  /// and finite, sizes rise and seconds do not fall.
  std::string complaint() const;
};

} // namespace alpa
