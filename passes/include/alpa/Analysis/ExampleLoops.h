// Loops over the examples of a batch, one (or some) in each iteration: what jax.lax.map makes.
#pragma once

#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/DenseMap.h"

namespace alpa {

/// A loop that counts from 0 in steps of 1 and in iteration k works on element k of the batch dims
/// of what it carries (or, if it is reversed, on element k from the end), and on no other.
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
  bool isReversed = false; ///< it goes from the last element to the first
  /// Elements that are so many apart belong to one example: views of a batch, one after another.
  int64_t period = 0;
  /// The dynamic_slices and dynamic_update_slices of the body at the element at hand, and the dims
  /// along which they are.
  llvm::DenseMap<mlir::Operation *, int> accesses;
};

/// Whether `whileOp` is such a loop if the values it starts from count examples in these dims
/// (none: not at all). Such a dim must be as long as the loop; values that count examples must not
/// enter the loop otherwise (`carriesBatch`). The period is that of a single view.
std::optional<ExampleLoop> exampleLoop(mlir::Operation *whileOp,
                                       llvm::ArrayRef<std::optional<int>> batchDims,
                                       llvm::function_ref<bool(mlir::Value)> carriesBatch);

} // namespace alpa
