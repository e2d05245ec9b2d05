// What XLA's partitioner can do with one op, beyond what its sharding rule allows in principle.
#pragma once

#include "alpa/IR/ShardyText.h"
#include "mlir/IR/Operation.h"

namespace alpa {

/// Whether XLA runs `op` in pieces, without gathering an operand first, when `factor` is split.
/// Every refusal here is a strategy for which XLA was seen to do something else than the rule says
/// (tests/programs/op_cases.py has the programs, JAX 0.10.2 on CPU).
bool canSplit(mlir::Operation *op, const ShardingRule &rule, int factor);
/// Whether XLA adds partial results of `op` up over all devices, even those of axes that split
/// nothing, which counts them several times: kernel gradients of depthwise convolutions.
bool reducesOnWholeMeshOnly(mlir::Operation *op);

/// Whether Shardy carries shardings forward through `op`, which maps elements or renames dims.
bool forwardsShardings(mlir::Operation *op);

/// The type as which a value moves between shardings. XLA moves a collective to the narrow side of
/// a conversion between floating-point types that made the value, or that alone reads it.
mlir::Type movedType(mlir::Value value);

} // namespace alpa
