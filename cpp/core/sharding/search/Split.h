// How branch and bound divides the strategies of one node.
#pragma once

#include "core/sharding/search/DualAscent.h"

namespace alpa {

struct Split {
  int32_t node = -1;                  ///< -1: every node has at most one strategy left
  std::vector<int32_t> first, second; ///< its strategies; the more promising half first
};

/// Splits the node whose strategies differ most in what their memory is worth at these prices per
/// row, at the widest jump: that is where the priced bound is loose. Where memory has no price, the
/// best strategy of the least doubtful node stands against its others.
Split chooseSplit(const CoreProblem &core, const DualAscent &dual,
                  const std::vector<double> &prices);

} // namespace alpa
