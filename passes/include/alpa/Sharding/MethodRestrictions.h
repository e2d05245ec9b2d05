// Plans that people make by hand, as restrictions of the strategies: the baselines a search is
// compared with.
#pragma once

#include "alpa/Sharding/ShardingGraph.h"

namespace alpa {

/// Takes away the strategies that `method` does not allow: data parallelism splits the batch over
/// the whole mesh wherever a value has one; ZeRO-2 also shards the optimizer state, ZeRO-3 the
/// parameters too (Rajbhandari et al., SC'20). What a method does not speak of stays free. Fails
/// with a diagnostic where no argument is a batch.
mlir::LogicalResult restrictToMethod(const ShardingTarget &target, mlir::FunctionOpInterface func,
                                     std::vector<Vertex> &vertices);

} // namespace alpa
