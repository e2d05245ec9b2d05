// The three functions of a step in microbatches: before them, of one, and after them.
#pragma once

#include "PartFunction.h"
#include "alpa/Analysis/TrainingPhases.h"

namespace alpa {

struct StepParts {
  /// Takes the arguments of @main. Its function is null where nothing is computed beforehand.
  PartFunction prologue;
  /// Takes the number of the microbatch, the arguments of @main (of the batch its part), what the
  /// prologue returns, and the accumulators; returns those and the parts of `perExample`.
  PartFunction microbatch;
  /// Takes the arguments of @main, what the prologue returns and the accumulators; returns the
  /// other results of @main.
  PartFunction update;
  std::vector<FrontierValue> accumulated;
  llvm::SmallVector<size_t> perExample; ///< results of @main that microbatches have parts of
};

/// Adds the functions to the module; @main stays. Fails with a diagnostic where an op cannot be
/// made for a part of the batch.
mlir::FailureOr<StepParts> makeStepParts(const OpGraph &graph, const BatchDims &batch,
                                         const TrainingPhases &training, int64_t numMicrobatches);

} // namespace alpa
