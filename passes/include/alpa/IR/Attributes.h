// Names of the attributes that our passes leave on ops and arguments.
#pragma once

#include "llvm/ADT/StringRef.h"

namespace alpa {

/// `alpa.op = 7 : i64`: the number of an op in program order, by which plans and reports name it
/// (alpa-normalize).
inline constexpr llvm::StringLiteral kOpIdAttr = "alpa.op";
/// `alpa.batch` (unit) on an argument: dim 0 counts examples.
inline constexpr llvm::StringLiteral kBatchAttr = "alpa.batch";
/// `alpa.state = 3 : i64` on an argument: result 3 is its value for the next step.
inline constexpr llvm::StringLiteral kStateAttr = "alpa.state";
/// `alpa.name = "state.params['w']"` on an argument: what the user calls it.
inline constexpr llvm::StringLiteral kNameAttr = "alpa.name";
/// `alpa.role = "parameter"` on an argument: its ArgumentRole (alpa-analyze-training).
inline constexpr llvm::StringLiteral kRoleAttr = "alpa.role";
/// `alpa.phase = "forward"` on an op: its Phase (alpa-analyze-training).
inline constexpr llvm::StringLiteral kPhaseAttr = "alpa.phase";
/// `alpa.accumulate = ["add"]` on an op: how results of microbatches combine, "" for a result that
/// does not end the batch (alpa-analyze-training).
inline constexpr llvm::StringLiteral kAccumulateAttr = "alpa.accumulate";
/// `alpa.gradient_of = [1 : i64]` on an op: the arguments whose gradients, or parts of them, it
/// sums over the examples (alpa-analyze-training).
inline constexpr llvm::StringLiteral kGradientOfAttr = "alpa.gradient_of";

// On arguments and results of the functions that alpa-split-microbatches leaves:

/// `alpa.argument = 2 : i64`: it is argument 2 of @main.
inline constexpr llvm::StringLiteral kArgumentAttr = "alpa.argument";
/// `alpa.result = 2 : i64`: it is result 2 of @main (of @microbatch: its examples of result 2).
inline constexpr llvm::StringLiteral kResultAttr = "alpa.result";
/// `alpa.prologue = 0 : i64`: value 0 that @prologue makes.
inline constexpr llvm::StringLiteral kPrologueAttr = "alpa.prologue";
/// `alpa.accumulator = 0 : i64`: frontier value 0 over the microbatches so far.
inline constexpr llvm::StringLiteral kAccumulatorAttr = "alpa.accumulator";
/// `alpa.microbatch = 4 : i64`: the number of the microbatch, 0 to 3.
inline constexpr llvm::StringLiteral kMicrobatchAttr = "alpa.microbatch";

/// `alpa.layer = 2 : i64` on an op: the layer it belongs to. Ops without it are cloned into every
/// part that reads them (alpa-cluster-layers).
inline constexpr llvm::StringLiteral kLayerAttr = "alpa.layer";

} // namespace alpa
