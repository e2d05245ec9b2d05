// Which batch-free values come to the examples; a part of Meetings.
#pragma once

#include "alpa/Analysis/Meetings.h"

namespace alpa {

/// See Meetings::meetsBatch. What the ops `after` read comes to no example.
llvm::DenseSet<mlir::Value> valuesMeetingBatch(const OpGraph &graph, const BatchDims &batch,
                                               const llvm::SetVector<mlir::Operation *> &after);

} // namespace alpa
