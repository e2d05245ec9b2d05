// Where a sequence of ops repeats itself: the equal blocks that deep models are made of.
#pragma once

#include <cstdint>
#include <vector>

namespace alpa {

/// Ops [first, first + period * count) are `count` blocks of `period` ops, each like the next.
struct Repeats {
  int32_t first = 0;
  int32_t period = 0;
  int32_t count = 0; ///< 0: nothing repeats

  int32_t end() const { return first + period * count; }
};

/// The blocks with most weight; of such, the shortest, then the first. `kinds` are equal for ops
/// that are alike, weights are at least 0. Takes time in the square of the number of ops. Throws
/// std::invalid_argument if there is not one weight for every op.
Repeats findRepeats(const std::vector<int32_t> &kinds, const std::vector<double> &weights);

} // namespace alpa
