// Names of the attributes that our passes leave on ops and arguments, and how to read the plain
// ones.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringRef.h"
#include <optional>

namespace alpa {

/// `alpa.op = 7 : i64`: the number of an op in program order, by which plans and reports name it
/// (alpa-normalize).
inline constexpr llvm::StringLiteral kOpIdAttr = "alpa.op";
/// `alpa.batch` (unit) on an argument: dim 0 counts examples.
inline constexpr llvm::StringLiteral kBatchAttr = "alpa.batch";
/// `alpa.state = 3 : i64` on an argument: result 3 is its value for the next step.
inline constexpr llvm::StringLiteral kStateAttr = "alpa.state";
/// `alpa.gradient = 3 : i64` on an argument without a next value: result 3 is its gradient.
inline constexpr llvm::StringLiteral kGradientAttr = "alpa.gradient";
/// `alpa.name = "state.params['w']"` on an argument: what the user calls it.
inline constexpr llvm::StringLiteral kNameAttr = "alpa.name";
/// `alpa.rows = array<i64: 3, 0, 4, 5>` on an argument: it is rows 4 to 5, along dim 0, of argument
/// 3 of the user's function; on a result, of result 3 (alpa-separate-rows).
inline constexpr llvm::StringLiteral kRowsAttr = "alpa.rows";

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
/// `alpa.batch_dim = array<i64: 0, 8, 1>` on an argument or result of @microbatch with one value
/// per example: dim, size and minor of the BatchDim that counts the examples of the whole batch.
inline constexpr llvm::StringLiteral kBatchDimAttr = "alpa.batch_dim";
/// `alpa.num_microbatches = 4 : i64` on a function: its forward and backward ops run so often in a
/// step.
inline constexpr llvm::StringLiteral kNumMicrobatchesAttr = "alpa.num_microbatches";

/// `alpa.for_update = true` on a result of a stage: a sum that only updates read, true if only that
/// of the stage (alpa-extract-stage).
inline constexpr llvm::StringLiteral kForUpdateAttr = "alpa.for_update";
/// `alpa.unreduced = "x,y"` on an op with one result, and on the sum that a phase adds it to: what
/// devices along these axes have is to be added yet. It lies not split by them; once it is reduced,
/// as `alpa.results` or `alpa.sharding` says.
inline constexpr llvm::StringLiteral kUnreducedAttr = "alpa.unreduced";

/// `alpa.layer = 3 : i64` on an op (alpa-cluster-layers). An op without it belongs nowhere: whoever
/// reads its results makes them.
inline constexpr llvm::StringLiteral kLayerAttr = "alpa.layer";

// On the functions that alpa-split-stages leaves, beside kPhaseAttr:

/// `alpa.stage = 1 : i64`: the stage it is a part of.
inline constexpr llvm::StringLiteral kStageAttr = "alpa.stage";
/// `alpa.round = 0 : i64` on an update (and its ops): rounds of all stages take turns.
inline constexpr llvm::StringLiteral kRoundAttr = "alpa.round";
/// `alpa.value = "v7"` on an argument or result: its name, unique in the step.
inline constexpr llvm::StringLiteral kValueAttr = "alpa.value";

/// None where there is no attribute, or one that is no integer.
std::optional<int64_t> integerOf(mlir::Attribute attribute);

/// None for an op that belongs nowhere.
std::optional<int64_t> layerOf(mlir::Operation *op);
/// Of the highest layer of an op, one more; 0 where no op has one.
int64_t numLayers(mlir::ModuleOp module);

} // namespace alpa
