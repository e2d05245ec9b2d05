// Exact solution of cores without memory rows whose nodes can be eliminated one by one through
// small separators (bucket elimination, Dechter 1999; dynamic programming over a tree
// decomposition).
#pragma once

#include "core/sharding/CoreProblem.h"

#include <optional>

namespace alpa {

struct EliminationResult {
  int64_t cost = kBlocked; ///< with the core's constant; at least kBlocked: infeasible
  std::vector<int32_t> choices;
};

/// None if the core has memory rows, or if the tables would hold more than `maxEntries` in all.
std::optional<EliminationResult> solveByElimination(const CoreProblem &core, int64_t maxEntries);

} // namespace alpa
