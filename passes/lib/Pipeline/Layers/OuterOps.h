// The ops of a function's body, each with what its loops and branches hold: the units that layers
// and stages are made of.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"
#include <vector>

namespace alpa {

struct OuterOp {
  mlir::Operation *op = nullptr;
  double flops = 0;     ///< of one run of the function
  bool isHeavy = false; ///< it is, or holds, a product or a convolution
  /// Values it reads, each once; regions read values of the function as well.
  llvm::SmallVector<mlir::Value, 4> reads;
  /// Ops that make what it reads and ops that read what it makes, ascending, each once. The
  /// terminator is none.
  std::vector<int> producers, readers;
};

class OuterOps {
public:
  /// Fails with a diagnostic on a function with calls or several blocks.
  static mlir::FailureOr<OuterOps> build(mlir::func::FuncOp function);

  mlir::func::FuncOp function() const { return owner; }
  int size() const { return static_cast<int>(all.size()); }
  const OuterOp &operator[](int index) const { return all[index]; }
  llvm::ArrayRef<OuterOp> ops() const { return all; }
  /// The op that a user of a value is, or is inside of; -1 for the terminator.
  int indexOf(mlir::Operation *op) const;
  /// The op that makes a value; -1 for an argument.
  int producerOf(mlir::Value value) const;

private:
  mlir::func::FuncOp owner;
  std::vector<OuterOp> all;
  llvm::DenseMap<mlir::Operation *, int> indices;
};

} // namespace alpa
