// Solves the stage problem exactly: Alpa's dynamic program (OSDI'22, equation 3 and algorithm 1)
// over suffixes of layers, inside a search over the slowest stage's period.
#pragma once

#include "core/stages/StageProblem.h"
#include <limits>
#include <optional>
#include <vector>

namespace alpa {

struct StagePlan {
  std::vector<int32_t> stages; ///< one candidate each, first stage first
  double stepSeconds = 0;
};

/// The plan of least step time below `cutoff`; none if there is no such plan. Equal problems give
/// equal plans. Throws what `check` throws.
std::optional<StagePlan> solveStages(const StageProblem &problem,
                                     double cutoff = std::numeric_limits<double>::infinity());

} // namespace alpa
