// Where the examples of a batch are: which dim of every value counts them, and which ops end that.
// From it follow the roles of the arguments, and later the phases of a training step and its
// microbatches.
#pragma once

#include "alpa/Analysis/ExampleLoops.h"
#include "alpa/Analysis/OpGraph.h"
#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"
#include <optional>

namespace alpa {

/// Dim `dim` of a tensor of shape [..., n, ...] counts `size` examples: element k of the dim
/// belongs to example (k / minor) % size. `minor` is above 1 where a reshape has folded another dim
/// into it from the right.
struct BatchDim {
  int dim = 0;
  int64_t size = 0, minor = 1;
};
bool operator==(const BatchDim &, const BatchDim &);

/// How an op ends a batch dim.
enum class BatchEnd {
  Reduced, ///< a reduction factor consumes it: a sum (or maximum, ...) over examples
  Mixed,  ///< examples meet in another way: a sort or slice along the batch, a product of the batch
          ///< with itself
  Unknown ///< an op without a sharding rule, or a reshape that leaves no groups of examples
};

/// Follows the dim that `alpa.batch` names of every argument that has it (0, where it is a unit)
/// through the ops, as BatchFlow.h says. Loops are followed until what they carry no longer
/// changes; loops over examples (ExampleLoops.h) are known.
class BatchDims {
public:
  /// What counts examples otherwise than follows: results of ops in which examples meet, with a dim
  /// that counts what these make of the batch (examples in another order, say), and batch arguments
  /// of which several examples, far apart, count as one.
  using Given = llvm::DenseMap<mlir::Value, BatchDim>;
  /// Fails with a diagnostic on a sharding rule that does not fit its op or a batch argument
  /// without that dim.
  static mlir::FailureOr<BatchDims> compute(const OpGraph &graph, const Given &given = Given());

  /// The dim that counts examples. None also for what belongs to a single example in a loop over
  /// them.
  std::optional<BatchDim> of(mlir::Value value) const;
  /// It belongs to one example or has a part for each.
  bool carries(mlir::Value value) const { return dims.count(value) || ofOneExample.count(value); }
  bool anyResultCarries(mlir::Operation *op) const;
  /// An operand or result of `op`, or of an op within its regions, carries the batch.
  bool touches(mlir::Operation *op) const;
  /// The dim by which `op` reads examples of an operand; also of one that does not carry the batch,
  /// but has an element (a row, ...) for each.
  std::optional<BatchDim> read(mlir::Operation *op, unsigned operand) const;
  /// Into how many groups ops take examples that could be told apart before.
  llvm::ArrayRef<int64_t> groupings() const { return allGroupings.getArrayRef(); }
  /// Null for any other loop.
  const ExampleLoop *exampleLoop(mlir::Operation *whileOp) const;

  struct End {
    mlir::Operation *op;
    BatchEnd kind;
  };
  /// Every op where a batch dim of an operand ends, in program order. Those of kind Reduced are the
  /// frontier between what is computed per example and what is computed of sums over examples.
  llvm::ArrayRef<End> ends() const { return allEnds; }
  /// How the batch ends in `op`; none where it does not.
  std::optional<BatchEnd> endAt(mlir::Operation *op) const;

private:
  friend class BatchFollower;
  llvm::DenseMap<mlir::Value, BatchDim> dims;
  llvm::DenseSet<mlir::Value> ofOneExample;
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<std::optional<BatchDim>>> reads;
  llvm::DenseMap<mlir::Operation *, ExampleLoop> exampleLoops;
  std::vector<End> allEnds;
  llvm::DenseMap<mlir::Operation *, BatchEnd> endKinds;
  llvm::SetVector<int64_t> allGroupings;
};

} // namespace alpa
