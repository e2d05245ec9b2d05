// See the header. Ops [first, end) repeat with a period where each is like the op one period on.

#include "core/layers/Repeats.h"

#include <numeric>
#include <stdexcept>

namespace alpa {

Repeats findRepeats(const std::vector<int32_t> &kinds, const std::vector<double> &weights) {
  if (kinds.size() != weights.size())
    throw std::invalid_argument("expected a weight for each of " + std::to_string(kinds.size()) +
                                " ops, got " + std::to_string(weights.size()));
  const auto size = static_cast<int32_t>(kinds.size());
  std::vector<double> before(kinds.size() + 1); // the weight of all ops before one
  std::partial_sum(weights.begin(), weights.end(), before.begin() + 1);

  Repeats best;
  double most = 0;
  for (int32_t period = 1; 2 * period <= size; ++period)
    for (int32_t first = 0, end = 0; first + period < size; first = end + 1) {
      for (end = first; end + period < size && kinds[end] == kinds[end + period];)
        ++end;
      Repeats found{first, period, (end - first) / period + 1};
      if (double weight = before[found.end()] - before[first]; found.count > 1 && weight > most) {
        best = found;
        most = weight;
      }
    }
  return best;
}

} // namespace alpa
