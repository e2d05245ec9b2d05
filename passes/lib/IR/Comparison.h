// Directions of stablehlo.compare.
#pragma once

#include "mlir/IR/Operation.h"

namespace alpa {

enum class Comparison { LT, LE, GT, GE, EQ, NE, Other };
Comparison comparison(mlir::Operation *compare);

} // namespace alpa
