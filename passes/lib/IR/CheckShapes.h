// A part of checkModule().
#pragma once

#include "mlir/IR/Operation.h"

namespace alpa {

/// Fails with an error where an attribute names dims that a tensor lacks, or shapes differ that
/// must be equal, and a pass would index by them. The op has the operands and results of its kind.
/// What has no static shape is not checked.
llvm::LogicalResult checkShapes(mlir::Operation *op);

} // namespace alpa
