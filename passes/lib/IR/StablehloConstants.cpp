// Evaluates single integers; see the header. Loops over layers index with small expressions of
// their counter, so elements are computed on demand and never a whole tensor.

#include "alpa/IR/StablehloConstants.h"
#include "Comparison.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringSwitch.h"

namespace alpa {
namespace {

using llvm::APInt;
using Result = std::optional<APInt>;

/// An integer type of StableHLO: signless is signed, and i1 is a predicate.
bool isUnsigned(mlir::Type element) { return element.isUnsignedInteger() || element.isInteger(1); }

Result divided(const APInt &a, const APInt &b, bool isUnsigned) {
  if (b.isZero() || (!isUnsigned && a.isMinSignedValue() && b.isAllOnes()))
    return std::nullopt;
  return isUnsigned ? a.udiv(b) : a.sdiv(b);
}

Result remainder(const APInt &a, const APInt &b, bool isUnsigned) {
  if (b.isZero() || (!isUnsigned && b.isAllOnes()))
    return std::nullopt;
  return isUnsigned ? a.urem(b) : a.srem(b);
}

bool isLess(const APInt &a, const APInt &b, bool isUnsigned) {
  return isUnsigned ? a.ult(b) : a.slt(b);
}

using Binary = Result (*)(const APInt &, const APInt &, bool isUnsigned);

Binary binaryNamed(llvm::StringRef name) {
  return llvm::StringSwitch<Binary>(name)
      .Case("stablehlo.add", [](const APInt &a, const APInt &b, bool) -> Result { return a + b; })
      .Case("stablehlo.subtract",
            [](const APInt &a, const APInt &b, bool) -> Result { return a - b; })
      .Case("stablehlo.multiply",
            [](const APInt &a, const APInt &b, bool) -> Result { return a * b; })
      .Case("stablehlo.and", [](const APInt &a, const APInt &b, bool) -> Result { return a & b; })
      .Case("stablehlo.or", [](const APInt &a, const APInt &b, bool) -> Result { return a | b; })
      .Case("stablehlo.xor", [](const APInt &a, const APInt &b, bool) -> Result { return a ^ b; })
      .Case(
          "stablehlo.maximum",
          [](const APInt &a, const APInt &b, bool u) -> Result { return isLess(a, b, u) ? b : a; })
      .Case(
          "stablehlo.minimum",
          [](const APInt &a, const APInt &b, bool u) -> Result { return isLess(a, b, u) ? a : b; })
      .Case("stablehlo.divide", divided)
      .Case("stablehlo.remainder", remainder)
      .Default(nullptr);
}

Binary binaryFor(ReductionKind kind) {
  switch (kind) {
  case ReductionKind::Add:
    return binaryNamed("stablehlo.add");
  case ReductionKind::Mul:
    return binaryNamed("stablehlo.multiply");
  case ReductionKind::Min:
    return binaryNamed("stablehlo.minimum");
  case ReductionKind::Max:
    return binaryNamed("stablehlo.maximum");
  case ReductionKind::And:
    return binaryNamed("stablehlo.and");
  case ReductionKind::Or:
    return binaryNamed("stablehlo.or");
  case ReductionKind::None:
    return nullptr;
  }
  return nullptr;
}

mlir::RankedTensorType staticType(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type : mlir::RankedTensorType();
}

int64_t linear(llvm::ArrayRef<int64_t> index, llvm::ArrayRef<int64_t> shape) {
  int64_t position = 0;
  for (auto [i, size] : llvm::zip(index, shape))
    position = position * size + i;
  return position;
}

Dims delinear(int64_t position, llvm::ArrayRef<int64_t> shape) {
  Dims index(shape.size());
  for (size_t dim = shape.size(); dim-- > 0; position /= shape[dim])
    index[dim] = position % shape[dim];
  return index;
}

class IntegerEvaluator {
public:
  Result at(mlir::Value value, llvm::ArrayRef<int64_t> index) {
    mlir::RankedTensorType type = staticType(value);
    mlir::Operation *op = value.getDefiningOp();
    if (!type || !op || op->getNumResults() != 1 || budget-- <= 0 ||
        !llvm::isa<mlir::IntegerType>(type.getElementType()))
      return std::nullopt;
    switch (kindOf(op)) {
    case OpKind::Constant:
      return ofConstant(op, linear(index, type.getShape()));
    case OpKind::Iota: {
      auto dim = iotaDim(op);
      return mlir::succeeded(dim) ? Result(APInt(width(type), index[*dim])) : std::nullopt;
    }
    case OpKind::BroadcastInDim:
      return ofBroadcast(op, index);
    case OpKind::Reshape: {
      mlir::RankedTensorType from = staticType(op->getOperand(0));
      return from ? at(op->getOperand(0), delinear(linear(index, type.getShape()), from.getShape()))
                  : std::nullopt;
    }
    case OpKind::Slice:
      return ofSlice(op, index);
    case OpKind::Concatenate:
      return ofConcatenate(op, index);
    case OpKind::Reduce:
      return ofReduce(op, index);
    case OpKind::Elementwise:
      return ofElementwise(op, type, index);
    default:
      return std::nullopt;
    }
  }

private:
  static unsigned width(mlir::RankedTensorType type) {
    return type.getElementType().getIntOrFloatBitWidth();
  }

  static Result ofConstant(mlir::Operation *op, int64_t position) {
    auto value = llvm::dyn_cast_or_null<mlir::DenseIntElementsAttr>(op->getAttr("value"));
    if (!value)
      return std::nullopt;
    return value.isSplat() ? value.getSplatValue<APInt>() : value.getValues<APInt>()[position];
  }

  Result ofBroadcast(mlir::Operation *op, llvm::ArrayRef<int64_t> index) {
    auto dims = broadcastDims(op);
    mlir::RankedTensorType from = staticType(op->getOperand(0));
    if (mlir::failed(dims) || !from)
      return std::nullopt;
    Dims place;
    for (auto [dim, size] : llvm::zip(*dims, from.getShape()))
      place.push_back(size == 1 ? 0 : index[dim]);
    return at(op->getOperand(0), place);
  }

  Result ofSlice(mlir::Operation *op, llvm::ArrayRef<int64_t> index) {
    auto dims = sliceDims(op);
    if (mlir::failed(dims))
      return std::nullopt;
    Dims place;
    for (auto [i, start, stride] : llvm::zip(index, dims->starts, dims->strides))
      place.push_back(start + i * stride);
    return at(op->getOperand(0), place);
  }

  Result ofConcatenate(mlir::Operation *op, llvm::ArrayRef<int64_t> index) {
    auto dim = concatenateDim(op);
    if (mlir::failed(dim))
      return std::nullopt;
    Dims place(index);
    for (mlir::Value part : op->getOperands()) {
      mlir::RankedTensorType type = staticType(part);
      if (!type)
        return std::nullopt;
      if (place[*dim] < type.getDimSize(*dim))
        return at(part, place);
      place[*dim] -= type.getDimSize(*dim);
    }
    return std::nullopt;
  }

  Result ofReduce(mlir::Operation *op, llvm::ArrayRef<int64_t> index) {
    Binary combine = binaryFor(reductionKind(op));
    auto dims = reducedDims(op);
    mlir::RankedTensorType from = staticType(op->getOperand(0));
    if (!combine || mlir::failed(dims) || !from)
      return std::nullopt;
    Dims window;
    int64_t count = 1;
    for (int64_t dim : *dims) {
      window.push_back(from.getDimSize(dim));
      count *= window.back();
    }
    Result total = at(op->getOperand(1), {});
    for (int64_t k = 0; total && k < count && budget > 0; ++k) {
      Dims inner = delinear(k, window), place;
      auto next = index.begin();
      for (int64_t dim = 0; dim < from.getRank(); ++dim) {
        auto reduced = llvm::find(*dims, dim);
        place.push_back(reduced == dims->end() ? *next++ : inner[reduced - dims->begin()]);
      }
      Result element = at(op->getOperand(0), place);
      total = element ? combine(*total, *element, isUnsigned(from.getElementType())) : element;
    }
    return budget > 0 ? total : std::nullopt;
  }

  Result ofElementwise(mlir::Operation *op, mlir::RankedTensorType type,
                       llvm::ArrayRef<int64_t> index) {
    llvm::StringRef name = op->getName().getStringRef();
    auto operand = [&](unsigned i) {
      mlir::RankedTensorType from = staticType(op->getOperand(i));
      bool isScalar = from && from.getRank() == 0; // bounds of clamp, predicate of select
      return at(op->getOperand(i), isScalar ? llvm::ArrayRef<int64_t>() : index);
    };
    if (name == "stablehlo.select") { // the other side may be anything
      Result predicate = operand(0);
      return predicate ? operand(predicate->isZero() ? 2 : 1) : std::nullopt;
    }
    if (name == "stablehlo.map")
      return std::nullopt;
    llvm::SmallVector<APInt, 3> values;
    for (unsigned i = 0; i < op->getNumOperands(); ++i) {
      Result value = operand(i);
      if (!value)
        return std::nullopt;
      values.push_back(*value);
    }
    bool fromUnsigned = isUnsigned(mlir::getElementTypeOrSelf(op->getOperand(0).getType()));
    if (Binary binary = binaryNamed(name))
      return binary(values[0], values[1], fromUnsigned);
    if (name == "stablehlo.compare")
      return compared(op, values[0], values[1], fromUnsigned);
    if (name == "stablehlo.clamp") {
      const APInt &least = isLess(values[1], values[0], fromUnsigned) ? values[0] : values[1];
      return isLess(values[2], least, fromUnsigned) ? values[2] : least;
    }
    if (name == "stablehlo.convert")
      return converted(values[0], type.getElementType(), fromUnsigned);
    if (name == "stablehlo.sign" && !fromUnsigned)
      return APInt(width(type), values[0].isNegative() ? -1 : !values[0].isZero(),
                   /*isSigned=*/true);
    if (name == "stablehlo.negate")
      return -values[0];
    if (name == "stablehlo.not")
      return ~values[0];
    return std::nullopt;
  }

  static Result converted(const APInt &value, mlir::Type to, bool fromUnsigned) {
    if (to.isInteger(1)) // a predicate: whether it is not zero
      return APInt(1, !value.isZero());
    unsigned width = to.getIntOrFloatBitWidth();
    return fromUnsigned ? value.zextOrTrunc(width) : value.sextOrTrunc(width);
  }

  static Result compared(mlir::Operation *op, const APInt &a, const APInt &b, bool isUnsigned) {
    switch (comparison(op)) {
    case Comparison::LT:
      return APInt(1, isLess(a, b, isUnsigned));
    case Comparison::LE:
      return APInt(1, !isLess(b, a, isUnsigned));
    case Comparison::GT:
      return APInt(1, isLess(b, a, isUnsigned));
    case Comparison::GE:
      return APInt(1, !isLess(a, b, isUnsigned));
    case Comparison::EQ:
      return APInt(1, a == b);
    case Comparison::NE:
      return APInt(1, a != b);
    case Comparison::Other:
      return std::nullopt;
    }
    return std::nullopt;
  }

  /// Elements may share operands many times over.
  int budget = 512;
};

} // namespace

std::optional<APInt> integerElement(mlir::Value value, llvm::ArrayRef<int64_t> index) {
  return IntegerEvaluator().at(value, index);
}

mlir::Value selectedOperand(mlir::Operation *op) {
  if (!isSelect(op))
    return {};
  auto predicate = llvm::dyn_cast_or_null<mlir::IntegerAttr>(splatElement(op->getOperand(0)));
  if (!predicate)
    return {};
  return op->getOperand(predicate.getValue().isZero() ? 2 : 1);
}

} // namespace alpa
