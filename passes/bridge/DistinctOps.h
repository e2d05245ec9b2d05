// Rules for many ops from few: ops that differ in nothing but their values share one.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace alpa {

/// A module with one function, @distinct_ops, whose body has one op of each sort among those of
/// `module` that have no sharding rule yet, in the order in which they appear. Loops, branches and
/// ops without results are left out: they have no rules.
///
/// Two ops are of one sort if they have one name, the same attributes but for ours, the same types
/// and bodies, and operands made by ops of the same names: Shardy's rules look as far (a
/// concatenation of slices is a permutation). In a deep model most are: a step of 45,000 ops has
/// some hundred sorts.
mlir::OwningOpRef<mlir::ModuleOp> distinctOps(mlir::ModuleOp module);

/// Gives every op of `module` without a rule that of its like in `distinct`, which is
/// distinctOps(module) after rules were attached to it. Fails, and changes nothing, if it is not.
llvm::LogicalResult takeRules(mlir::ModuleOp module, mlir::ModuleOp distinct);

} // namespace alpa
