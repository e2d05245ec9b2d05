// Some writers of problems put a large finite cost where a choice is forbidden. Reductions and
// bounds gain much from knowing: what the stand-in costs is forbidden first, and as any answer that
// has it costs at least as much, a bound up to there holds for all answers.
#pragma once

#include "core/sharding/ShardingProblem.h"

#include <optional>

namespace alpa {

/// The largest cost below what is forbidden, if it is in so many places that it stands for that.
std::optional<int64_t> findStandIn(const ShardingProblem &problem);

/// The least cost that must be forbidden for no sum of costs to come near kBlocked, or nothing
/// where sums stay away from that as it is. Solvers need this; answers with such a cost are out of
/// reach.
std::optional<int64_t> findUnsummable(const ShardingProblem &problem);

} // namespace alpa
