// What passes rely on, checked once where they begin. StableHLO's own verifier has seen modules
// that come from jaxlib; in `mlir-opt` with the plugin nobody has.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace alpa {

/// Fails with a diagnostic unless
///  - every function with a body has one block, which ends in `func.return`;
///  - every op of StableHLO that passes index into has the operands, results and regions of its
///    kind, loops and branches are well formed (isWhile, isBranch), and what a loop, branch,
///    barrier or sharding constraint passes on keeps its type;
///  - shapes fit one another and the attributes that name their dims, where passes index by them;
///  - ops read what is made before them;
///  - every tensor has at most 2^50 bytes, so that sums of sizes fit 64 bits;
///  - numbers of layers, stages, arguments and the like (`alpa.*`) are integers from 0 to 2^31 - 1.
llvm::LogicalResult checkModule(mlir::ModuleOp module);

/// An argument or result of a function, as its attributes describe it.
struct BoundaryValue {
  mlir::func::FuncOp function;
  unsigned number;
  bool isResult = false;

  mlir::Attribute get(llvm::StringRef name) const;
  /// The attribute as a number or text. Fails with an error that names the function, the place and
  /// what is there instead.
  mlir::FailureOr<int64_t> integer(llvm::StringRef name) const;
  mlir::FailureOr<llvm::StringRef> string(llvm::StringRef name) const;
};

} // namespace alpa
