// Finds ops that are fused away, in program order; see the header.

#include "alpa/Analysis/FusedOps.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/Stablehlo.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

/// Row statistics beside a value (the mean that is taken off it) weigh nothing.
constexpr double kAsLargeAs = 1.05;

/// No fusion of XLA's takes more operands (its MaxOperandsAndOutputsPerFusion).
constexpr size_t kMaxOrigins = 96;

bool isMap(mlir::Operation *op) {
  return (kindOf(op) == OpKind::BroadcastInDim || isElementwise(op)) && op->getNumResults() == 1 &&
         !op->use_empty() && !isConstantLike(op);
}

bool isConstant(mlir::Value value) {
  mlir::Operation *op = value.getDefiningOp();
  return op && isConstantLike(op);
}

bool takesIn(mlir::Operation *reader, mlir::Operation *op);

bool areTakenIn(mlir::Operation *op) {
  return llvm::all_of(op->getUsers(),
                      [op](mlir::Operation *reader) { return takesIn(reader, op); });
}

/// Whether `reader` computes what it reads of `op` by the element. A reshape is what its own
/// readers make of it. What passes from phase to phase is kept, but for broadcasts, which are
/// spread again.
bool takesIn(mlir::Operation *reader, mlir::Operation *op) {
  if (reader->getBlock() != op->getBlock())
    return false;
  if (phaseOf(reader) != phaseOf(op) && kindOf(op) != OpKind::BroadcastInDim)
    return false;
  switch (kindOf(reader)) {
  case OpKind::BroadcastInDim:
  case OpKind::Transpose:
  case OpKind::Slice:
  case OpKind::Pad:
  case OpKind::Concatenate:
    return true;
  case OpKind::Reshape:
    return !reader->use_empty() && areTakenIn(reader);
  default:
    return isElementwise(reader) || isReduction(reader);
  }
}

bool hasOneReader(mlir::Operation *op) {
  return llvm::all_of(op->getUsers(),
                      [op](mlir::Operation *reader) { return reader == *op->getUsers().begin(); });
}

} // namespace

FusedOps::FusedOps(mlir::FunctionOpInterface func) {
  func->walk<mlir::WalkOrder::PreOrder>([this](mlir::Operation *op) { visit(op); });
}

void FusedOps::visit(mlir::Operation *op) {
  if (!isMap(op) || !areTakenIn(op))
    return;
  llvm::SmallSetVector<mlir::Value, 4> found;
  for (mlir::Value operand : op->getOperands())
    if (!isConstant(operand))
      found.insert_range(originsOf(operand));
  double size = 0;
  for (mlir::Value origin : found)
    size += static_cast<double>(bytes(origin.getType()));
  const bool isCheap = hasOneReader(op) || kindOf(op) == OpKind::BroadcastInDim ||
                       size <= kAsLargeAs * static_cast<double>(bytes(op->getResult(0).getType()));
  if (isCheap && found.size() <= kMaxOrigins)
    origins[op] = found.takeVector();
}

/// The stored values behind `value`, itself if it is one.
FusedOps::Values FusedOps::originsOf(mlir::Value value) const {
  mlir::Operation *op = value.getDefiningOp();
  if (op && kindOf(op) == OpKind::Reshape && op->getNumOperands() == 1)
    return originsOf(op->getOperand(0));
  auto found = op ? origins.find(op) : origins.end();
  return found == origins.end() ? Values{value} : found->second;
}

} // namespace alpa
