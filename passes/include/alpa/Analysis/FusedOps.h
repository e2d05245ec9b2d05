// Which ops XLA computes inside the loops of their readers, so that their results never reach
// memory.
#pragma once

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallVector.h"

namespace alpa {

/// A map of elements (an elementwise op or a broadcast) is fused away where all its readers, in the
/// block and phase of its own, compute element by element: maps, reductions, and what only moves
/// elements. Of several readers each computes it anew (as XLA's priority fusion does), if what they
/// read instead of it, the stored values it is made from, is no larger than it is.
class FusedOps {
public:
  /// Nothing here trusts ops to be well formed.
  explicit FusedOps(mlir::FunctionOpInterface func);

  bool contains(mlir::Operation *op) const { return origins.contains(op); }

private:
  using Values = llvm::SmallVector<mlir::Value, 4>;

  void visit(mlir::Operation *op);
  Values originsOf(mlir::Value value) const;

  /// Of each op that is fused away, the stored values that it is made from.
  llvm::DenseMap<mlir::Operation *, Values> origins;
};

} // namespace alpa
