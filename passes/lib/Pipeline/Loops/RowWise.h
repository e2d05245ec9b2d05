// Ops that make each row of their result from the same rows of their operands: what can be done row
// by row.
#pragma once

#include "alpa/IR/Stablehlo.h"
#include <optional>

namespace alpa {

/// Of an operand that every row needs whole.
inline constexpr int kWhole = -1;

/// For a dim of the op's one result, the dim of each operand along which rows correspond, or
/// `kWhole`. None where rows of the result need more than that, and for ops nobody knows.
using RowDims = llvm::SmallVector<int, 4>;
std::optional<RowDims> rowDims(mlir::Operation *op, int resultDim);

/// The dim of the result along which its rows are made from those of operand `operand` along `dim`.
std::optional<int> resultRowDim(mlir::Operation *op, unsigned operand, int dim);

/// Whether a slice takes all of every dim but `dim`, and of that one part without gaps.
bool slicesOnly(mlir::Operation *slice, int dim);

} // namespace alpa
