// See the header.

#include "WidenPart.h"
#include "alpa/IR/RoundedResults.h"
#include "mlir/IR/TypeUtilities.h"

namespace alpa {
namespace {

class Widener {
public:
  Widener(mlir::Type narrow, mlir::Type wide, llvm::function_ref<void(mlir::Operation *)> mark)
      : narrow(narrow), wide(wide), mark(mark) {}

  mlir::Value convert(StablehloBuilder &make, mlir::Value value) const {
    mlir::Value converted = make.convert(value, wide);
    if (converted != value)
      mark(converted.getDefiningOp());
    return converted;
  }

  /// A reduce or scatter that adds: operands, and what its region adds.
  void widenSum(mlir::Operation *op) const {
    mlir::OpBuilder before(op);
    StablehloBuilder make(before, op->getLoc());
    for (mlir::OpOperand &operand : op->getOpOperands())
      if (isNarrow(operand.get().getType()))
        operand.set(isZero(operand.get()) ? zero(make, operand.get())
                                          : convert(make, operand.get()));
    mlir::Block &body = op->getRegion(0).front();
    for (mlir::BlockArgument argument : body.getArguments())
      argument.setType(widened(argument.getType()));
    for (mlir::Operation &inner : body)
      for (mlir::Value result : inner.getResults())
        result.setType(widened(result.getType()));
  }

private:
  bool isNarrow(mlir::Type type) const { return mlir::getElementTypeOrSelf(type) == narrow; }
  mlir::RankedTensorType widened(mlir::Type type) const {
    return llvm::cast<mlir::RankedTensorType>(type).clone(wide);
  }

  // What sums start from stays a constant.
  bool isZero(mlir::Value value) const {
    return splatElement(value) == identityElement(ReductionKind::Add, narrow);
  }
  mlir::Value zero(StablehloBuilder &make, mlir::Value value) const {
    return make.splat(widened(value.getType()), identityElement(ReductionKind::Add, wide));
  }

  mlir::Type narrow, wide;
  llvm::function_ref<void(mlir::Operation *)> mark;
};

bool isSum(mlir::Operation *op) {
  const OpKind kind = kindOf(op);
  return (kind == OpKind::Reduce || kind == OpKind::Scatter) &&
         reductionKind(op) == ReductionKind::Add;
}

} // namespace

mlir::Value widenPart(StablehloBuilder &make, mlir::Value part, mlir::RankedTensorType type,
                      llvm::function_ref<void(mlir::Operation *)> mark) {
  const mlir::Type narrow = mlir::getElementTypeOrSelf(part.getType());
  const Widener widener(narrow, type.getElementType(), mark);
  mlir::Operation *op = part.getDefiningOp();
  const OpKind kind = op ? kindOf(op) : OpKind::Unknown;
  const bool isProduct = kind == OpKind::DotGeneral || kind == OpKind::Convolution;
  if (narrow == type.getElementType() || !op || !part.use_empty() || (!isProduct && !isSum(op)))
    return widener.convert(make, part);
  if (isSum(op))
    widener.widenSum(op);
  if (kind == OpKind::Convolution)
    op->setDiscardableAttr(kRoundsToAttr, mlir::TypeAttr::get(narrow));
  part.setType(type);
  return part;
}

} // namespace alpa
