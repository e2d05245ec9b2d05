// How the arguments and results of a sharded function lie, and which op explains it.
#pragma once

#include "alpa/Sharding/ShardingGraph.h"

namespace alpa {

struct Boundary {
  std::vector<Sharding> arguments, results;
};

/// Under these choices, as alpa-annotate-shardings will write it: state comes back as it came in,
/// other results as their op leaves them, constants replicated.
Boundary boundaryOf(const ShardingGraph &graph, llvm::ArrayRef<int> choices);

/// The op that best explains the sharding of an argument: the first product, convolution or look-up
/// a few ops behind it, else its first reader; null where nobody reads it.
mlir::Operation *explainingReader(mlir::BlockArgument argument);

} // namespace alpa
