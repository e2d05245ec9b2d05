// What an op reads, nested ops included.
#pragma once

#include "mlir/IR/Operation.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {

/// The operands of `op`, then what the ops nested in it read from outside: each once.
llvm::SetVector<mlir::Value> valuesRead(mlir::Operation *op);

} // namespace alpa
