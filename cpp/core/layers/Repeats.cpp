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
      // Ops [first, end + period) repeat, with more of them than fill whole blocks.
      const int32_t count = (end - first) / period + 1, spare = (end - first) % period;
      for (int32_t shift = 0; shift <= spare && count > 1; ++shift) {
        Repeats found{first + shift, period, count};
        if (double weight = before[found.end()] - before[found.first]; weight > most) {
          best = found;
          most = weight;
        }
      }
    }
  return best;
}

} // namespace alpa
