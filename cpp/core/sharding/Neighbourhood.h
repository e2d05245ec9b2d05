// The problem that is left when all nodes but a region keep their strategies: what
// large-neighbourhood search hands to the exact solver.
#pragma once

#include "core/sharding/Assignment.h"

#include <random>

namespace alpa {

/// A region's nodes, ordered.
using Region = std::vector<int32_t>;

/// The core of a region: edges to other nodes become node costs, memory of other nodes is taken
/// from the capacities. Its constant cost is 0.
CoreProblem restrictTo(const CoreGraph &graph, const Assignment &assignment, const Region &region);

/// What the region costs in an assignment: its nodes and all edges they have.
int64_t regionCost(const CoreGraph &graph, const Assignment &assignment, const Region &region);

/// The first `size` nodes around `starts` by breadth-first search.
Region regionAround(const CoreGraph &graph, std::vector<int32_t> starts, int32_t size);

/// About `size` nodes around a random one, by breadth-first search.
Region growRegion(const CoreGraph &graph, int32_t size, std::mt19937_64 &random);

/// About `size` nodes that use memory in the rows around a random one, and between them what joins
/// them.
Region rowRegion(const CoreGraph &graph, int32_t size, std::mt19937_64 &random);

} // namespace alpa
