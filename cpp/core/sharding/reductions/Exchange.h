// What it costs at most to exchange one strategy of a node for another, whatever the neighbours do:
// the test behind dominance (Goldstein 1994) and its conditional form.
#pragma once

#include "core/sharding/reductions/ReducibleProblem.h"

namespace alpa {

/// Above every possible exchange: the new strategy may be blocked where the old one is not.
inline constexpr int64_t kImpossible = kBlocked;

/// The most an exchange of `from` for `to` can add to the cost of one edge.
int64_t exchangeCost(const ReducibleProblem::EdgeEnd &end, int32_t from, int32_t to);

/// Whether `to` uses no more memory than `from` at any time.
bool fitsWhere(const ReducibleProblem::Node &node, int32_t from, int32_t to);

} // namespace alpa
