// When an op of a training step runs.
#pragma once

#include "mlir/IR/Operation.h"
#include <optional>

namespace alpa {

/// In the order in which they run.
enum class Phase {
  Prologue, ///< makes, from the whole batch, what every microbatch needs: the token count of a loss
  Forward,  ///< every gradient depends on it, or a sum that is no gradient (loss, metric), or a
            ///< result with a value per example
  Backward, ///< other ops between the batch and the gradients
  Update    ///< sees sums over examples only: the optimizer, clipping by global norm, the mean loss
};
llvm::StringRef name(Phase phase);

/// What `alpa.phase` of an op or function says; none without it, or if it says something else.
std::optional<Phase> phaseOf(mlir::Operation *op);

} // namespace alpa
