// The ops of the program with what they cost: the view that cost models, layers and stages share.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseMap.h"
#include <vector>

namespace alpa {

/// Bytes that one execution must move if nothing is fused.
struct Traffic {
  int64_t read = 0, written = 0;
  int64_t filled = 0; ///< written beforehand, so that there is something to update
};

/// What `op` moves: its operands (each once) and its results. Slices and gathers read, and updates
/// in place read and write, only the elements they touch, after a constant that they start from was
/// written out; reshapes, barriers and constants move nothing; loops and branches leave it to their
/// ops.
Traffic trafficOf(mlir::Operation *op);

/// One op, with the cost of one execution.
struct OpNode {
  mlir::Operation *op = nullptr;
  /// See flops() in Stablehlo.h.
  double flops = 0;
  /// See trafficOf().
  int64_t bytesRead = 0, bytesWritten = 0; ///< what is filled is written, too
  /// Executions in one run of the program: the product of the trip counts of the loops around the
  /// op. A loop whose trip count is not plain counts once, and so does every branch.
  double multiplicity = 1;
  /// The last node inside the op's regions; the op itself where it has none.
  int last = 0;
  /// Nodes that make what it reads and nodes that read what it makes, ascending, each once. A value
  /// that enters or leaves a loop or branch does so through the node of that op.
  std::vector<int> producers, users;
};

/// The ops of a function in program order, those inside loops and branches after the op
/// that contains them. Terminators, and the bodies of reductions, sorts and the like, are no nodes.
class OpGraph {
public:
  /// Of the public function. Needs a module that alpa-normalize left; fails with a diagnostic on
  /// any other.
  static mlir::FailureOr<OpGraph> build(mlir::ModuleOp module);
  /// Of any function without calls.
  static mlir::FailureOr<OpGraph> build(mlir::func::FuncOp function);

  mlir::func::FuncOp function() const { return main; }
  llvm::ArrayRef<OpNode> nodes() const { return all; }
  int size() const { return static_cast<int>(all.size()); }
  const OpNode &operator[](int index) const { return all[index]; }
  /// -1 for an op that is no node.
  int indexOf(mlir::Operation *op) const;
  /// Loops that were counted once because their trip count is not plain.
  llvm::ArrayRef<mlir::Operation *> loopsOfUnknownLength() const { return unknownLoops; }

private:
  void addBlock(mlir::Block &block, double multiplicity);
  void connect();

  mlir::func::FuncOp main;
  std::vector<OpNode> all;
  llvm::DenseMap<mlir::Operation *, int> indices;
  std::vector<mlir::Operation *> unknownLoops;
};

} // namespace alpa
