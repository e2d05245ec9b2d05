// Some writers of problems put a large finite cost where a choice is forbidden. Reductions and
// bounds gain much from knowing: what the stand-in costs is forbidden first, and as any answer that
// has it costs at least as much, a bound up to there holds for all answers.
#pragma once

#include "core/sharding/ReducibleProblem.h"

#include <optional>

namespace alpa {

/// The largest cost below what is forbidden, if it is in so many places that it stands for that.
std::optional<int64_t> findStandIn(const ShardingProblem &problem);

/// Forbids whatever costs at least `cost`. To be called before any reduction.
void forbidFrom(ReducibleProblem &problem, int64_t cost);

} // namespace alpa
