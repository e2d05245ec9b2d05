// What a microbatch has for a sum over all of them, in the wider elements of that sum.
#pragma once

#include "alpa/IR/StablehloBuilder.h"

namespace alpa {

/// `part` with the elements of `type`. Rounded before they are added, what devices and microbatches
/// have does not add up to what one device has. So whatever adds it up over examples does that in
/// the wider elements, if nobody else reads it: products at once, sums and scatters of widened
/// operands. A convolution still rounds (`alpa.rounds_to`): XLA's compiler for GPUs widens the
/// operands of one with wider results, and no unit for 16 bits computes it. Its parts, and those
/// that nothing here knows to widen (loops), are rounded once per device and microbatch.
///
/// `mark` is told of each conversion, made where `make` is or before the op that reads it.
mlir::Value widenPart(StablehloBuilder &make, mlir::Value part, mlir::RankedTensorType type,
                      llvm::function_ref<void(mlir::Operation *)> mark);

} // namespace alpa
