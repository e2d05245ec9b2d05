// Convolutions that round what they leave: their results are wider than what they compute.
#pragma once

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"

namespace alpa {

/// `alpa.rounds_to = bf16` on a convolution with wider results (alpa-split-microbatches).
/// alpa-annotate-shardings makes it one with such results, and a conversion behind it.
inline constexpr llvm::StringLiteral kRoundsToAttr = "alpa.rounds_to";

/// Null for an op that rounds to nothing narrower than its result.
mlir::FloatType roundsTo(mlir::Operation *op);

} // namespace alpa
