// Steps of alpa-normalize on the ops of one function: dead ops, equal ops, constants, ids. Each is
// one walk.

#include "Normalize.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/OperationSupport.h"
#include "llvm/ADT/DenseSet.h"

namespace alpa {
namespace {

using mlir::OperationEquivalence;

/// Equal name, attributes, operands, types and regions.
struct ByContent : llvm::DenseMapInfo<mlir::Operation *> {
  static unsigned getHashValue(const mlir::Operation *op) {
    return OperationEquivalence::computeHash(
        const_cast<mlir::Operation *>(op), OperationEquivalence::directHashValue,
        OperationEquivalence::ignoreHashValue, OperationEquivalence::IgnoreLocations);
  }
  static bool isEqual(const mlir::Operation *a, const mlir::Operation *b) {
    if (a == b)
      return true;
    if (a == getEmptyKey() || a == getTombstoneKey() || b == getEmptyKey() ||
        b == getTombstoneKey())
      return false;
    return OperationEquivalence::isEquivalentTo(const_cast<mlir::Operation *>(a),
                                                const_cast<mlir::Operation *>(b),
                                                OperationEquivalence::IgnoreLocations);
  }
};

/// A table that is written out element by element is worth a copy per user only up to this size.
constexpr int64_t kMaxCopiedBytes = 1024;

bool isWorthACopy(mlir::Operation *op) {
  if (!op || !isConstantLike(op))
    return false;
  mlir::Attribute value = op->getAttr("value");
  return !value || llvm::isa<mlir::SplatElementsAttr>(value) ||
         bytes(op->getResult(0).getType()) <= kMaxCopiedBytes;
}

/// Copies `op` and the constants it is made of right before `user`, once for each of them.
mlir::Operation *copyFor(mlir::Operation *user, mlir::Operation *op,
                         llvm::SmallDenseMap<mlir::Operation *, mlir::Operation *> &copies) {
  if (mlir::Operation *copy = copies.lookup(op))
    return copy;
  mlir::IRMapping mapping;
  for (mlir::Value operand : op->getOperands())
    mapping.map(operand, copyFor(user, operand.getDefiningOp(), copies)->getResult(0));
  return copies[op] = mlir::OpBuilder(user).clone(*op, mapping);
}

bool isTerminator(mlir::Operation &op) { return &op == &op.getBlock()->back(); }

/// Ids go to `next`, `next` + 1, ...
void numberOps(mlir::Region &region, int64_t &next) {
  for (mlir::Operation &op : region.getOps()) {
    if (isTerminator(op) && op.getNumResults() == 0)
      continue;
    mlir::Builder builder(op.getContext());
    op.setDiscardableAttr(kOpIdAttr, builder.getI64IntegerAttr(next++));
    if (isWhile(&op) || isBranch(&op))
      for (mlir::Region &inner : op.getRegions())
        numberOps(inner, next);
  }
}

} // namespace

void eraseDead(mlir::Region &region) {
  for (mlir::Block &block : region)
    for (mlir::Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
      if (!isTerminator(op) && op.use_empty() && isRemovable(&op))
        op.erase();
      else
        for (mlir::Region &inner : op.getRegions())
          eraseDead(inner);
    }
}

void removeIdleConversions(mlir::Region &region) {
  region.walk([](mlir::Operation *op) {
    if (!isConversion(op) || op->getOperand(0).getType() != op->getResult(0).getType())
      return;
    op->replaceAllUsesWith(op->getOperands());
    op->erase();
  });
}

void mergeDuplicates(mlir::Region &region) {
  // Blocks are kept apart: merging an op of a loop body with one before the loop would make the
  // loop capture a value, and the body of a reduction must not capture any.
  for (mlir::Block &block : region) {
    llvm::DenseSet<mlir::Operation *, ByContent> seen;
    for (mlir::Operation &op : llvm::make_early_inc_range(block)) {
      for (mlir::Region &inner : op.getRegions())
        mergeDuplicates(inner);
      if (op.getNumResults() == 0 || !isMergeable(&op))
        continue;
      auto [first, isNew] = seen.insert(&op);
      if (isNew)
        continue;
      op.replaceAllUsesWith(*first);
      op.erase();
    }
  }
}

void placeConstants(mlir::Region &region) {
  for (mlir::Block &block : region)
    for (mlir::Operation &op : llvm::make_early_inc_range(block)) {
      for (mlir::Region &inner : op.getRegions())
        placeConstants(inner);
      if (isWorthACopy(&op))
        continue; // copied by whoever uses it
      llvm::SmallDenseMap<mlir::Operation *, mlir::Operation *> copies;
      for (mlir::OpOperand &operand : op.getOpOperands())
        if (mlir::Operation *constant = operand.get().getDefiningOp(); isWorthACopy(constant))
          operand.set(copyFor(&op, constant, copies)->getResult(0));
    }
}

void numberOps(mlir::Region &region) {
  int64_t next = 0;
  numberOps(region, next);
}

} // namespace alpa
