// Loops that run until the last example is done, and leave those that are done as they are.
#pragma once

#include "mlir/IR/Operation.h"

namespace alpa {

/// Whether the examples of `whileOp` do not decide for each other, though its condition is an `any`
/// over them: what jax.vmap makes of a loop. The condition is `reduce or` of a predicate p of the
/// carried values; the body returns each carried value as it is, or `select(p, next, value)` of the
/// same p. Where p is false everywhere nothing changes any more, so any part of the examples may
/// stop by itself.
bool endsPerExample(mlir::Operation *whileOp);

} // namespace alpa
