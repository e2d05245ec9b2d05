// The order in which the ops of a function are taken to run.
#pragma once

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/SmallVector.h"

namespace alpa {

/// The ops of the function's block in program order, but that updates of state run as soon as they
/// can: XLA's schedulers run first what frees most, and an update takes the place of the state it
/// is made from and frees a gradient. An update is what maps of elements alone make of other values
/// and of an argument that the caller gives up. In functions with phases, which become programs of
/// their own, nothing moves.
llvm::SmallVector<mlir::Operation *> runOrder(mlir::FunctionOpInterface func);

/// Whether the buffer of an argument may be reused once it has been read for the last time.
bool isDonated(mlir::FunctionOpInterface func, unsigned argument);

} // namespace alpa
