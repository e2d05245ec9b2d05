// What the table of op names (Stablehlo.cpp) knows of an op, for the files that build on it.
#pragma once

#include "alpa/IR/Stablehlo.h"

namespace alpa {

struct OpEntry {
  OpKind kind;
  double flopsPerElement; ///< of elementwise ops
};
const OpEntry &entryOf(mlir::Operation *op);

} // namespace alpa
