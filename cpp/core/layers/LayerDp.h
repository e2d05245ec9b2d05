// Solves the layer problem exactly: Alpa's dynamic program (OSDI'22, equation 6) over prefixes of
// ops.
#pragma once

#include "core/layers/LayerProblem.h"
#include <optional>
#include <vector>

namespace alpa {

/// The first op of each layer, such that the fewest bytes cross the cuts and, of such cuts, FLOPs
/// are most even (least sum of squares); none where no cut keeps to the limits. Equal problems give
/// equal answers. Throws what `check` throws.
std::optional<std::vector<int32_t>> solveLayers(const LayerProblem &problem);

/// The smallest `maxLayerFlops` at which the problem has an answer; none if it has none at any.
/// What the problem says itself is ignored. Throws what `check` throws.
std::optional<double> leastMaxLayerFlops(const LayerProblem &problem);

} // namespace alpa
