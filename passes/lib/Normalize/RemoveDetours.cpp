// Elements that are reshaped, computed with one by one (or left alone), and reshaped back never
// needed the other shape, nor did those that are transposed and transposed back. Where it cuts the
// batch in pieces (B as B/2 times 2), examples are told apart without it.

#include "Normalize.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/ShardyText.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

mlir::RankedTensorType staticType(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type : mlir::RankedTensorType();
}

bool isReshape(mlir::Operation *op) {
  return op && kindOf(op) == OpKind::Reshape && op->getNumOperands() == 1 &&
         op->getNumResults() == 1;
}

/// Elementwise ops of one shape that are connected, with nothing around them but reshapes from and
/// to another.
class Detour {
public:
  /// `back` leads back.
  explicit Detour(mlir::Operation *back) : back(back), block(back->getBlock()) {}

  bool find() {
    mlir::RankedTensorType from = staticType(back->getOperand(0)),
                           to = staticType(back->getResult(0));
    if (!from || !to || from.getShape() == to.getShape() ||
        !add(back->getOperand(0).getDefiningOp()))
      return false;
    shape.assign(from.getShape().begin(), from.getShape().end());
    home.assign(to.getShape().begin(), to.getShape().end());
    for (size_t i = 0; i < ops.size(); ++i)
      if (!fits(ops[i]))
        return false;
    return hasWayIn;
  }

  /// The ops in the other shape are without users then.
  void remove() {
    std::vector<mlir::Operation *> sorted(ops.begin(), ops.end());
    llvm::sort(sorted,
               [](mlir::Operation *a, mlir::Operation *b) { return a->isBeforeInBlock(b); });
    mlir::IRMapping mapping;
    for (mlir::Operation *op : sorted) {
      mlir::OpBuilder builder(op);
      mlir::Operation *copy = op->clone();
      for (mlir::OpOperand &operand : copy->getOpOperands())
        operand.set(atHome(operand.get(), op, mapping, builder));
      copy->getResult(0).setType(staticType(op->getResult(0)).clone(home));
      copy->removeDiscardableAttr(kShardingRuleAttr);
      builder.insert(copy);
      mapping.map(op->getResult(0), copy->getResult(0));
    }
    for (mlir::Operation *out : waysOut)
      out->replaceAllUsesWith(mlir::ValueRange(mapping.lookup(out->getOperand(0))));
  }

private:
  bool add(mlir::Operation *op) {
    if (!op || op->getBlock() != block || !isElementwise(op) || op->getNumResults() != 1 ||
        op->getNumRegions() != 0)
      return false;
    ops.insert(op);
    return true;
  }

  bool fits(mlir::Operation *op) {
    mlir::RankedTensorType type = staticType(op->getResult(0));
    return type && type.getShape() == llvm::ArrayRef(shape) &&
           llvm::all_of(op->getOperands(), [this](mlir::Value v) { return fitsOperand(v); }) &&
           llvm::all_of(op->getUsers(), [this](mlir::Operation *user) { return fitsUser(user); });
  }

  bool fitsOperand(mlir::Value value) {
    mlir::RankedTensorType type = staticType(value);
    if (!type)
      return false;
    if (type.getRank() == 0 || splatElement(value))
      return true;
    mlir::Operation *op = value.getDefiningOp();
    if (isReshape(op) && staticType(op->getOperand(0)) &&
        staticType(op->getOperand(0)).getShape() == llvm::ArrayRef(home))
      return hasWayIn = true;
    return isSpread(op) || add(op);
  }

  /// One number for all elements.
  static bool isSpread(mlir::Operation *op) {
    return op && kindOf(op) == OpKind::BroadcastInDim && op->getNumOperands() == 1 &&
           staticType(op->getOperand(0)) && staticType(op->getOperand(0)).getRank() == 0;
  }

  bool fitsUser(mlir::Operation *user) {
    if (!isReshape(user) || !staticType(user->getResult(0)) ||
        staticType(user->getResult(0)).getShape() != llvm::ArrayRef(home))
      return add(user);
    waysOut.insert(user);
    return true;
  }

  /// What stands for `value`, which `reader` reads. Ops that are made for it belong where that
  /// does.
  mlir::Value atHome(mlir::Value value, mlir::Operation *reader, mlir::IRMapping &mapping,
                     mlir::OpBuilder &builder) const {
    mlir::RankedTensorType type = staticType(value);
    if (type.getRank() == 0)
      return value;
    StablehloBuilder make(builder, value.getLoc());
    mlir::Operation *op = value.getDefiningOp();
    mlir::Attribute element = splatElement(value);
    if (!element && isReshape(op))
      return op->getOperand(0);
    if (!element && !isSpread(op))
      return mapping.lookup(value);
    mlir::Value made = element ? make.splat(type.clone(home), element)
                               : make.broadcast(op->getOperand(0), type.clone(home));
    for (llvm::StringRef name : {kPhaseAttr, kRoundAttr})
      if (mlir::Attribute attribute = reader->getDiscardableAttr(name))
        made.getDefiningOp()->setDiscardableAttr(name, attribute);
    return made;
  }

  mlir::Operation *back;
  mlir::Block *block;
  llvm::SmallVector<int64_t> shape, home;
  llvm::SetVector<mlir::Operation *> ops, waysOut;
  bool hasWayIn = false;
};

bool isTranspose(mlir::Operation *op) {
  return op && kindOf(op) == OpKind::Transpose && op->getNumOperands() == 1 &&
         op->getNumResults() == 1;
}

bool undoes(mlir::Operation *second, mlir::Operation *first) {
  mlir::FailureOr<Dims> there = permutation(first), back = permutation(second);
  if (mlir::failed(there) || mlir::failed(back) || there->size() != back->size())
    return false;
  for (auto [to, from] : llvm::enumerate(*back))
    if (from < 0 || from >= static_cast<int64_t>(there->size()) ||
        (*there)[from] != static_cast<int64_t>(to))
      return false;
  return true;
}

/// What `op` restores, which the op before it had moved; null if there is nothing such.
mlir::Value undone(mlir::Operation *op) {
  mlir::Operation *before = op->getOperand(0).getDefiningOp();
  const bool isUndone = (isReshape(op) && isReshape(before)) ||
                        (isTranspose(op) && isTranspose(before) && undoes(op, before));
  return isUndone && staticType(op->getResult(0)) &&
                 before->getOperand(0).getType() == op->getResult(0).getType()
             ? before->getOperand(0)
             : mlir::Value();
}

} // namespace

void removeDetours(mlir::Region &region) {
  llvm::SmallVector<mlir::Operation *> moves;
  region.walk([&](mlir::Operation *op) {
    if (isReshape(op) || isTranspose(op))
      moves.push_back(op);
  });
  for (mlir::Operation *move : moves) {
    if (move->use_empty())
      continue;
    if (mlir::Value origin = undone(move))
      move->getResult(0).replaceAllUsesWith(origin);
    else if (Detour detour(move); isReshape(move) && detour.find())
      detour.remove();
  }
}

} // namespace alpa
