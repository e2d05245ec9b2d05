// What constant counters make of the ops of an unrolled loop.
#pragma once

#include "StackedBuffers.h"

namespace alpa {

/// Visits ops in program order, each after everything it reads, so one visit is enough: integers
/// become constants, windows at constant places become the values that were put there.
class SimplifyUnrolled {
public:
  /// Simplifies `op`, which may go away for it; returns the op after it, null after the last of the
  /// block. Regions are left to the caller.
  mlir::Operation *visit(mlir::Operation *op);
  /// After the last visit: buffers that are still read become concatenations.
  void finish() { buffers.materialize(); }

private:
  /// What stands for the result from now on; null if `op` stays.
  mlir::Value replacement(mlir::Operation *op, StablehloBuilder &make);
  mlir::Value readWindow(mlir::Operation *op, StablehloBuilder &make);
  void writeWindow(mlir::Operation *op, StablehloBuilder &make);

  StackedBuffers buffers;
};

} // namespace alpa
