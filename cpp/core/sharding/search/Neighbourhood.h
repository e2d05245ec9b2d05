// The problem that is left when all nodes but a region keep their strategies: what
// large-neighbourhood search hands to the exact solver.
#pragma once

#include "core/sharding/search/Assignment.h"

#include <random>

namespace alpa {

/// A region's nodes, ordered.
using Region = std::vector<int32_t>;

/// The core of a region: edges to other nodes become node costs, memory of other nodes is taken
/// from the capacities. Its constant cost is 0.
CoreProblem restrictTo(const CoreGraph &graph, const Assignment &assignment, const Region &region);

/// As restrictTo, but what counts is the memory used in one row; other rows may be exceeded as far
/// as they are.
CoreProblem memoryProblem(const CoreGraph &graph, const Assignment &assignment,
                          const Region &region, int32_t row);

/// What the region costs in an assignment: its nodes and all edges they have.
int64_t regionCost(const CoreGraph &graph, const Assignment &assignment, const Region &region);

/// The first `size` nodes around `starts` by breadth-first search.
Region regionAround(const CoreGraph &graph, std::vector<int32_t> starts, int32_t size);

/// About `size` nodes around a random one, by breadth-first search.
Region growRegion(const CoreGraph &graph, int32_t size, std::mt19937_64 &random);

/// About `size` nodes: half of them random ones that use memory in the row, the others around
/// these.
Region usersRegion(const CoreGraph &graph, int32_t row, int32_t size, std::mt19937_64 &random);

/// As usersRegion, of a random row.
Region rowRegion(const CoreGraph &graph, int32_t size, std::mt19937_64 &random);

/// About `size` nodes around `numStarts` random ones, drawn with their excess as weight.
Region excessRegion(const CoreGraph &graph, const std::vector<double> &excess, int32_t size,
                    int32_t numStarts, std::mt19937_64 &random);

} // namespace alpa
