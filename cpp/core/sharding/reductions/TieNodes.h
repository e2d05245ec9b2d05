// Tying: nodes that look alike make one choice. Repeated layers of a model then cost as much to
// solve as one layer. Unlike a reduction this restricts the problem: an answer is allowed, but
// maybe not optimal.
#pragma once

#include "core/sharding/reductions/ReducibleProblem.h"

namespace alpa {

/// A class per node such that nodes of one class look the same up to `radius` edges away: strategy
/// costs, usages, edge tables and directions (Weisfeiler-Leman colour refinement). Classes are
/// numbered by their first node.
std::vector<int32_t> findIdenticalNodes(const ShardingProblem &problem, int32_t radius);

/// Makes the nodes of each class one node. Throws std::invalid_argument unless `classes` has one
/// entry per node and the nodes of a class have the same number of strategies. To be called before
/// any reduction.
void tieNodes(ReducibleProblem &problem, const std::vector<int32_t> &classes);

} // namespace alpa
