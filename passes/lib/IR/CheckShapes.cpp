// What the shapes and attributes of an op must have in common where passes index one by the other.

#include "CheckShapes.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include <numeric>

namespace alpa {
namespace {

using Shape = std::optional<llvm::ArrayRef<int64_t>>;

/// None for what is no tensor of static shape.
Shape shapeOf(mlir::Type type) {
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  return tensor && tensor.hasStaticShape() ? Shape(tensor.getShape()) : std::nullopt;
}

bool isBelow(int64_t dim, size_t rank) { return dim >= 0 && dim < static_cast<int64_t>(rank); }

bool isWithin(llvm::ArrayRef<int64_t> part, llvm::ArrayRef<int64_t> whole) {
  return part.size() == whole.size() && llvm::all_of(llvm::zip(part, whole), [](auto dim) {
           return std::get<0>(dim) <= std::get<1>(dim);
         });
}

/// The shapes are there: of operands from the first on, and of the result.
class ShapeChecks {
public:
  ShapeChecks(mlir::Operation *op, llvm::ArrayRef<int64_t> operand, llvm::ArrayRef<int64_t> result)
      : op(op), operand(operand), result(result) {}

  bool broadcast() const {
    mlir::FailureOr<Dims> dims = broadcastDims(op);
    if (mlir::failed(dims))
      return true;
    return dims->size() == operand.size() && llvm::all_of(llvm::zip(*dims, operand), [&](auto at) {
             auto [dim, size] = at;
             return isBelow(dim, result.size()) && (size == 1 || size == result[dim]);
           });
  }

  bool reshape() const {
    auto product = [](llvm::ArrayRef<int64_t> sizes) {
      return std::accumulate(sizes.begin(), sizes.end(), int64_t(1), std::multiplies<int64_t>());
    };
    return product(operand) == product(result);
  }

  bool slice() const {
    mlir::FailureOr<SliceDims> dims = sliceDims(op);
    if (mlir::failed(dims))
      return true;
    return dims->starts.size() == operand.size() && dims->strides.size() == operand.size() &&
           isWithin(dims->limits, operand) && isWithin(dims->starts, dims->limits) &&
           isWithin(result, operand) &&
           llvm::all_of(dims->starts, [](int64_t start) { return start >= 0; }) &&
           llvm::all_of(dims->strides, [](int64_t stride) { return stride > 0; });
  }

  bool dynamicSlice(llvm::ArrayRef<int64_t> part, unsigned numTensors) const {
    return isWithin(part, operand) && op->getNumOperands() == numTensors + operand.size();
  }

  bool concatenate() const {
    mlir::FailureOr<int64_t> dim = concatenateDim(op);
    if (mlir::failed(dim))
      return true;
    return isBelow(*dim, result.size()) &&
           llvm::all_of(op->getOperandTypes(), [&](mlir::Type type) {
             Shape part = shapeOf(type);
             return part && isWithin(*part, result);
           });
  }

  bool reduce() const {
    mlir::FailureOr<Dims> dims = reducedDims(op);
    if (mlir::failed(dims))
      return true;
    return dims->size() + result.size() == operand.size() && llvm::all_of(*dims, [&](int64_t dim) {
             return isBelow(dim, operand.size()) && llvm::count(*dims, dim) == 1;
           });
  }

  bool elementwise() const {
    return llvm::all_of(op->getOperandTypes(), [&](mlir::Type type) {
      Shape shape = shapeOf(type);
      return !shape || shape->empty() || *shape == result;
    });
  }

private:
  mlir::Operation *op;
  llvm::ArrayRef<int64_t> operand, result;
};

bool areShapesGood(mlir::Operation *op, llvm::ArrayRef<int64_t> operand,
                   llvm::ArrayRef<int64_t> result) {
  ShapeChecks checks(op, operand, result);
  switch (kindOf(op)) {
  case OpKind::BroadcastInDim:
    return checks.broadcast();
  case OpKind::Reshape:
    return checks.reshape();
  case OpKind::Slice:
    return checks.slice();
  case OpKind::DynamicSlice:
    return checks.dynamicSlice(result, 1);
  case OpKind::DynamicUpdateSlice: {
    Shape update = shapeOf(op->getOperand(1).getType());
    return !update || (operand == result && checks.dynamicSlice(*update, 2));
  }
  case OpKind::Concatenate:
    return checks.concatenate();
  case OpKind::Reduce:
    return checks.reduce();
  case OpKind::Elementwise:
    return checks.elementwise();
  default:
    return true;
  }
}

bool isConstantGood(mlir::Operation *op, llvm::ArrayRef<int64_t> result) {
  if (kindOf(op) == OpKind::Iota) {
    mlir::FailureOr<int64_t> dim = iotaDim(op);
    return mlir::failed(dim) || isBelow(*dim, result.size());
  }
  auto value = llvm::dyn_cast_or_null<mlir::ElementsAttr>(op->getAttr("value"));
  return !value || value.getType() == op->getResult(0).getType();
}

} // namespace

llvm::LogicalResult checkShapes(mlir::Operation *op) {
  if (op->getNumResults() == 0)
    return mlir::success();
  Shape result = shapeOf(op->getResult(0).getType());
  Shape operand = op->getNumOperands() ? shapeOf(op->getOperand(0).getType()) : std::nullopt;
  const bool isConstant = kindOf(op) == OpKind::Constant || kindOf(op) == OpKind::Iota;
  if (!result ||
      (isConstant ? isConstantGood(op, *result) : !operand || areShapesGood(op, *operand, *result)))
    return mlir::success();
  return op->emitError("expected '")
         << op->getName() << "' to have shapes that fit one another and its attributes, got ("
         << op->getOperandTypes() << ") -> (" << op->getResultTypes() << ")";
}

} // namespace alpa
