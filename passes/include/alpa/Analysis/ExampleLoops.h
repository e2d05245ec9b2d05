// Loops over the examples of a batch, one (or some) in each iteration: what jax.lax.map makes.
#pragma once

#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/DenseMap.h"

namespace alpa {

/// A loop that counts from 0 in steps of 1 and in iteration k works on element k of the batch dims
/// of what it carries, and on no other.
struct ExampleLoop {
  enum class Carried {
    Counter, ///< the number of the iteration; a loop may have several
    Same,    ///< not changed; if it counts examples, only the one at hand is read
    Written, ///< the one at hand is written, into dim `writtenDims`, and nothing is read
    Sum      ///< something is added in each iteration; it starts from zero
  };
  std::vector<Carried> carried;
  std::vector<int> writtenDims;
  unsigned counter = 0; ///< the one that ends the loop
  int64_t numIterations = 0;

  /// A dynamic_slice or dynamic_update_slice of the body at the example at hand.
  struct Access {
    int dim = 0;
    bool isReversed = false; ///< the loop goes from the last example to the first
  };
  llvm::DenseMap<mlir::Operation *, Access> accesses;
};

/// Whether `whileOp` is such a loop if the values it starts from count examples in these dims
/// (none: not at all). Such a dim must be as long as the loop; values that count examples must not
/// enter the loop otherwise (`carriesBatch`).
std::optional<ExampleLoop> exampleLoop(mlir::Operation *whileOp,
                                       llvm::ArrayRef<std::optional<int>> batchDims,
                                       llvm::function_ref<bool(mlir::Value)> carriesBatch);

} // namespace alpa
