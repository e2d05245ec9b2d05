// Shardings the user has fixed: arguments with a sharding of their own, and
// with_sharding_constraint. Strategies that disagree with them are taken away.
#pragma once

#include "alpa/Sharding/Strategy.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace alpa {

/// Keeps the strategies of argument `argument` that agree with its `sdy.sharding`; where none is
/// among them but the sharding fits, it becomes the only one. One that does not divide its tensor
/// is no wish, after a remark; neither is, in a stage of a pipeline, one over axes that the stage's
/// mesh does not have, nor others of their size. Elsewhere such axes fail with a diagnostic.
mlir::LogicalResult keepFixedArgument(mlir::FunctionOpInterface func, unsigned argument,
                                      const DeviceMesh &mesh, std::vector<Strategy> &strategies);

/// The same for the results of a sharding constraint; other ops keep all their strategies.
mlir::LogicalResult keepFixedResults(mlir::FunctionOpInterface func, mlir::Operation *op,
                                     const DeviceMesh &mesh, std::vector<Strategy> &strategies);

} // namespace alpa
