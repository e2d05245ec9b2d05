// Whether a step can be split into microbatches and still compute the same.
#pragma once

#include "alpa/Analysis/TrainingPhases.h"

namespace alpa {

/// Fails with an error for every op that stands in the way, and for a number of microbatches that
/// does not divide the batch.
llvm::LogicalResult checkSplittable(const OpGraph &graph, const BatchDims &batch,
                                    const TrainingPhases &training, int64_t numMicrobatches,
                                    bool allowLocalStatistics);

} // namespace alpa
