// See the header. One rule per kind of op.

#include "SimplifyUnrolled.h"
#include "alpa/IR/Attributes.h"

namespace alpa {
namespace {

/// Ops that unrolling made have no number of alpa-normalize's.
bool isFromLoop(mlir::Operation *op) { return !op->hasAttr(kOpIdAttr); }

mlir::RankedTensorType staticType(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type : mlir::RankedTensorType();
}

bool hasStaticTypes(mlir::Operation *op) {
  return llvm::all_of(op->getOperands(), staticType) && llvm::all_of(op->getResults(), staticType);
}

/// A single integer that constants determine, as a constant.
mlir::Value foldInteger(mlir::Operation *op, StablehloBuilder &make) {
  mlir::Value result = op->getResult(0);
  mlir::RankedTensorType type = staticType(result);
  if (type.getNumElements() != 1 || !llvm::isa<mlir::IntegerType>(type.getElementType()) ||
      kindOf(op) == OpKind::Constant)
    return {};
  std::optional<llvm::APInt> value = integerElement(result, Dims(type.getRank(), 0));
  return value ? make.splat(type, mlir::IntegerAttr::get(type.getElementType(), *value))
               : mlir::Value();
}

/// A reshape, or a broadcast that adds dims of size 1 only.
bool isReshaping(mlir::Operation *op) {
  if (!op || !hasStaticTypes(op))
    return false;
  if (kindOf(op) == OpKind::Reshape)
    return true;
  if (kindOf(op) != OpKind::BroadcastInDim || staticType(op->getOperand(0)).getNumElements() !=
                                                  staticType(op->getResult(0)).getNumElements())
    return false;
  mlir::FailureOr<Dims> dims = broadcastDims(op);
  return mlir::succeeded(dims) && llvm::is_sorted(*dims);
}

/// The value that reshapes bring back into its own shape.
mlir::Value cancelReshapes(mlir::Operation *op) {
  mlir::Value source = op->getOperand(0);
  while (source.getType() != op->getResult(0).getType() && isReshaping(source.getDefiningOp()))
    source = source.getDefiningOp()->getOperand(0);
  return source.getType() == op->getResult(0).getType() ? source : mlir::Value();
}

mlir::Value reshaped(mlir::Value value, llvm::ArrayRef<int64_t> shape, StablehloBuilder &make) {
  return staticType(value).getShape() == shape ? value : make.reshape(value, shape);
}

/// Constants need no barrier, and what they index must be found.
void passConstants(mlir::Operation *barrier) {
  for (auto [operand, result] : llvm::zip(barrier->getOperands(), barrier->getResults()))
    if (mlir::Operation *constant = operand.getDefiningOp(); constant && isConstantLike(constant))
      result.replaceAllUsesWith(operand);
}

} // namespace

mlir::Operation *SimplifyUnrolled::visit(mlir::Operation *op) {
  mlir::Operation *next = op->getNextNode();
  if (kindOf(op) == OpKind::OptimizationBarrier)
    passConstants(op);
  if (op->getNumResults() != 1 || !hasStaticTypes(op))
    return next;
  mlir::OpBuilder builder(op);
  StablehloBuilder make(builder, op->getLoc());
  if (mlir::Value value = replacement(op, make)) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
  }
  return next;
}

mlir::Value SimplifyUnrolled::replacement(mlir::Operation *op, StablehloBuilder &make) {
  if (mlir::Value constant = foldInteger(op, make))
    return constant;
  switch (kindOf(op)) {
  case OpKind::Slice:
  case OpKind::DynamicSlice:
  case OpKind::Gather:
    return readWindow(op, make);
  case OpKind::DynamicUpdateSlice:
  case OpKind::Scatter:
    if (isFromLoop(op))
      writeWindow(op, make);
    return {};
  case OpKind::Concatenate:
    buffers.recordConcatenate(op);
    return {};
  case OpKind::Reshape:
  case OpKind::BroadcastInDim:
    return isReshaping(op) ? cancelReshapes(op) : mlir::Value();
  case OpKind::Elementwise:
    if (isAddition(op) && isFromLoop(op))
      buffers.recordSum(op, make);
    return selectedOperand(op);
  default:
    return {};
  }
}

mlir::Value SimplifyUnrolled::readWindow(mlir::Operation *op, StablehloBuilder &make) {
  std::optional<Window> window = constantWindow(op);
  if (!window)
    return {};
  mlir::Value source = op->getOperand(0);
  bool isFound = buffers.resolve(source, *window);
  if (kindOf(op) == OpKind::Slice && !isFound && !splatElement(source))
    return {}; // nothing plainer
  mlir::Value part = buffers.slice(source, *window, make);
  return reshaped(part, staticType(op->getResult(0)).getShape(), make);
}

void SimplifyUnrolled::writeWindow(mlir::Operation *op, StablehloBuilder &make) {
  std::optional<Window> window = constantWindow(op);
  if (!window)
    return;
  mlir::Value buffer = op->getOperand(0);
  if (kindOf(op) == OpKind::DynamicUpdateSlice) {
    buffers.recordUpdate(op, buffer, *window, op->getOperand(1));
    return;
  }
  bool adds = reductionKind(op) == ReductionKind::Add;
  if (!adds && !isAssigningScatter(op))
    return;
  mlir::Value part = reshaped(op->getOperand(2), window->sizes, make);
  adds ? buffers.recordAddition(op, buffer, *window, part, make)
       : buffers.recordUpdate(op, buffer, *window, part);
}

} // namespace alpa
