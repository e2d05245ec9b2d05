// The structure of a training step, found in the program itself: which ops run once per microbatch
// (forward and backward), which before (prologue) and after (update), and what is summed in
// between.
#pragma once

#include "alpa/Analysis/ArgumentRoles.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {

llvm::StringRef name(ArgumentRole role);
/// "add", "mul", "min", "max", "and", "or".
llvm::StringRef name(ReductionKind kind);
/// The kind of that name; None for no name of one.
ReductionKind reductionNamed(llvm::StringRef text);

/// A value of the frontier: combined over examples where it is made. Of microbatches, the combined
/// values of all are the value of the whole batch.
struct FrontierValue {
  mlir::Value value;
  ReductionKind combine = ReductionKind::Add;
  /// Numbers of the arguments whose gradient it is, or a part of it (tied weights have several
  /// parts); empty for losses and metrics.
  std::vector<int> gradientOf;
  /// It has a value per example: the update reads those of all examples.
  bool isJoined = false;

  /// The type in which microbatches add up: sums of 16 bits would lose the small parts among many,
  /// so they have 32.
  mlir::RankedTensorType sumType() const;
};

struct TrainingPhases {
  std::vector<ArgumentRole> roles; ///< per argument
  std::vector<Phase> phases;       ///< per node; ops inside a loop or branch have its phase
  /// Values that flow back into computations on single examples, or decide for them, but come from
  /// the batch (and keys and counts) alone: no parameter, so they can be had beforehand. One that
  /// carries the batch (a loop over examples that end together) is had for the whole batch.
  std::vector<mlir::Value> prologue;
  std::vector<FrontierValue> frontier;
  Meetings meetings;
  /// How many examples, or groups of them that are read as one, forward and backward have in common
  /// (else the batch arguments): what a number of microbatches must divide. 0: there are none.
  int64_t numExamples = 0;

  bool isGradientFound(int parameter) const;
};

TrainingPhases trainingPhases(const OpGraph &graph, const BatchDims &batch);

} // namespace alpa
