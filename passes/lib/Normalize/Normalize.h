// The steps of alpa-normalize, in the order in which they run.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace alpa {

/// Replaces every call (and composite) in `main`, inside regions too, by the body of its callee.
/// Fails on recursion, on a callee that is unknown, has no body of one block, or takes or returns
/// other types than the call.
llvm::LogicalResult inlineCalls(mlir::ModuleOp module, mlir::func::FuncOp main);

/// Removes every other function that no op names (custom calls may name one).
void removeUnusedFunctions(mlir::ModuleOp module, mlir::func::FuncOp main);

/// Removes ops without effect whose results nobody uses.
void eraseDead(mlir::Region &region);

/// Removes conversions of a value to the type it has.
void removeIdleConversions(mlir::Region &region);

/// Computes in the shape they come from and go back to what elementwise ops do in another, and
/// leaves where it is what is moved and moved back.
void removeDetours(mlir::Region &region);

/// Gathers and scatters whose indices count the rows of a dim walk along that dim.
void batchGathers(mlir::Region &region);

/// Clamps the starts of dynamic slices and updates, and of gathers of one window, where they may be
/// out of range. A start that has no choice becomes 0.
void clampStarts(mlir::Region &region);

/// Keeps one of several equal ops of a block.
void mergeDuplicates(mlir::Region &region);

/// Gives every user of a constant (or of what isConstantLike() makes of one) a copy of its own,
/// right before the user.
void placeConstants(mlir::Region &region);

/// Numbers the ops of the function, of its loops and branches in program order, terminators left
/// out.
void numberOps(mlir::Region &region);

} // namespace alpa
