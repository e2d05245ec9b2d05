// Solves the stage problem exactly: Alpa's dynamic program (OSDI'22, equation 3 and algorithm 1)
// over suffixes of layers, inside a search over the slowest stage's period.
#pragma once

#include "core/stages/StageProblem.h"
#include <limits>
#include <optional>
#include <vector>

namespace alpa {

struct StageSolution {
  std::vector<int32_t> stages; ///< one candidate each, first stage first
  double stepSeconds = 0;
};

/// The solution of least step time below `cutoff`; none if there is none. Equal problems give equal
/// solutions. Throws what `check` throws.
std::optional<StageSolution> solveStages(const StageProblem &problem,
                                         double cutoff = std::numeric_limits<double>::infinity());

} // namespace alpa
