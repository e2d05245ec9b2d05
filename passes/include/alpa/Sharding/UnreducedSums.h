// Sums over microbatches whose parts stay where they are made: every device adds to a sum of its
// own, and the update reduces it once per step, not once per microbatch.
#pragma once

#include "alpa/Sharding/Strategy.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace alpa {

/// Whether `op` of a stage (alpa-extract-stage) makes what one of several microbatches adds to a
/// sum, and nobody but the update of the stage reads that sum.
bool makesSumOfUpdate(mlir::FunctionOpInterface func, mlir::Operation *op);

/// The strategies of such an op. All-reduces are left to the update, which costs a microbatch
/// nothing and no memory. Where the result is scattered, the sum would be scattered too, so that
/// leaving it whole ("x=k>0 once") is a choice of its own.
void leaveReductionsToUpdate(std::vector<Strategy> &strategies);

} // namespace alpa
