// Sums over microbatches whose parts stay where they are made: every device adds to a sum of its
// own, and the update reduces it once per step, not once per microbatch.
#pragma once

#include "alpa/Sharding/Strategy.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include <optional>
#include <vector>

namespace alpa {

/// A sum over several microbatches that only updates read.
struct UpdateSum {
  bool isOwn = false;   ///< only the update of the stage that makes it
  int64_t widening = 1; ///< its bytes, over those of a part as the op rounds it
};

/// The sum that `op` of a stage (alpa-extract-stage) makes a microbatch's part of.
std::optional<UpdateSum> sumOfUpdate(mlir::FunctionOpInterface func, mlir::Operation *op);

/// The strategies of the op that makes parts of `sum`. All-reduces are left to the update, which
/// costs a microbatch nothing and no memory. Where parts are scattered, the sum is scattered too,
/// so that leaving it whole ("x=k>0 once") is a choice of its own; what other stages read is sent
/// whole.
void leaveReductionsToUpdate(UpdateSum sum, const DeviceMesh &mesh,
                             std::vector<Strategy> &strategies);

} // namespace alpa
