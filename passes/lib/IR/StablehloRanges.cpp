// Bounds of integers; see StablehloConstants.h. Of a tensor, one range for all elements.

#include "Comparison.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/StablehloConstants.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/StringSwitch.h"

namespace alpa {
namespace {

using Range = IntegerRange;
using Wide = __int128;

bool isUnsigned(mlir::Type element) { return element.isUnsignedInteger() || element.isInteger(1); }

std::optional<Range> rangeOfType(mlir::Type element) {
  auto type = llvm::dyn_cast<mlir::IntegerType>(element);
  unsigned limit = type && isUnsigned(type) ? 63 : 64;
  if (!type || type.getWidth() > limit)
    return std::nullopt;
  if (isUnsigned(type))
    return Range{0, static_cast<int64_t>((uint64_t(1) << type.getWidth()) - 1)};
  return Range{llvm::minIntN(type.getWidth()), llvm::maxIntN(type.getWidth())};
}

Range joined(const Range &a, const Range &b) {
  return {std::min(a.least, b.least), std::max(a.most, b.most)};
}

/// Whether the comparison is the same for all elements, and then what it is.
std::optional<bool> decided(Comparison direction, const Range &a, const Range &b) {
  switch (direction) {
  case Comparison::LT:
    return a.most < b.least    ? std::optional(true)
           : a.least >= b.most ? std::optional(false)
                               : std::nullopt;
  case Comparison::GT:
    return decided(Comparison::LT, b, a);
  case Comparison::GE:
  case Comparison::LE: {
    auto opposite = decided(direction == Comparison::GE ? Comparison::LT : Comparison::GT, a, b);
    return opposite ? std::optional(!*opposite) : std::nullopt;
  }
  default:
    return std::nullopt;
  }
}

class RangeFinder {
public:
  std::optional<Range> of(mlir::Value value, int depth = 0) {
    mlir::Type element = mlir::getElementTypeOrSelf(value.getType());
    std::optional<Range> type = rangeOfType(element);
    if (!type || depth > kMaxDepth || budget-- <= 0)
      return type;
    auto argument = llvm::dyn_cast<mlir::BlockArgument>(value);
    std::optional<Range> found = argument ? ofArgument(argument, depth + 1)
                                          : ofResult(llvm::cast<mlir::OpResult>(value), depth + 1);
    // Arithmetic that leaves the type comes back at its other end.
    return found && found->least >= type->least && found->most <= type->most ? found : type;
  }

private:
  static constexpr int kMaxDepth = 32;

  std::optional<Range> ofArgument(mlir::BlockArgument argument, int depth) {
    mlir::Operation *parent = argument.getOwner()->getParentOp();
    unsigned number = argument.getArgNumber();
    if (auto function = llvm::dyn_cast_or_null<mlir::FunctionOpInterface>(parent)) {
      auto count = function.getArgAttrOfType<mlir::IntegerAttr>(number, kMicrobatchAttr);
      return count ? std::optional(Range{0, count.getInt() - 1}) : std::nullopt;
    }
    if (!parent || !isWhile(parent))
      return std::nullopt;
    mlir::BlockArgument inBody = whileBody(parent).front().getArgument(number);
    if (isLoopInvariant(inBody))
      return of(parent->getOperand(number), depth);
    std::optional<int64_t> step = counterStep(inBody), trips = tripCount(parent);
    std::optional<Range> start = of(parent->getOperand(number), depth);
    if (!step || !trips || !start)
      return std::nullopt;
    // The condition sees it once more.
    int64_t last = argument == inBody ? *trips - 1 : *trips;
    return narrow(Wide(start->least) + std::min<Wide>(0, Wide(*step) * last),
                  Wide(start->most) + std::max<Wide>(0, Wide(*step) * last));
  }

  std::optional<Range> ofResult(mlir::OpResult result, int depth) {
    mlir::Operation *op = result.getOwner();
    if (kindOf(op) == OpKind::OptimizationBarrier)
      return of(op->getOperand(result.getResultNumber()), depth);
    if (op->getNumResults() != 1)
      return std::nullopt;
    switch (kindOf(op)) {
    case OpKind::Constant:
      return ofConstant(op);
    case OpKind::Iota: {
      auto dim = iotaDim(op);
      auto type = llvm::cast<mlir::RankedTensorType>(op->getResult(0).getType());
      if (mlir::failed(dim) || type.isDynamicDim(*dim))
        return std::nullopt;
      return Range{0, std::max<int64_t>(0, type.getDimSize(*dim) - 1)};
    }
    case OpKind::BroadcastInDim:
    case OpKind::Reshape:
    case OpKind::Transpose:
    case OpKind::Reverse:
    case OpKind::Slice:
    case OpKind::DynamicSlice:
    case OpKind::Gather:
      return of(op->getOperand(0), depth);
    case OpKind::Concatenate:
      return ofAny(op->getOperands(), depth);
    case OpKind::Elementwise:
      return ofElementwise(op, depth);
    default:
      return std::nullopt;
    }
  }

  static std::optional<Range> ofConstant(mlir::Operation *op) {
    auto value = llvm::dyn_cast_or_null<mlir::DenseIntElementsAttr>(op->getAttr("value"));
    if (!value || value.empty() || (!value.isSplat() && value.getNumElements() > kMaxElements))
      return std::nullopt;
    bool readUnsigned = isUnsigned(value.getElementType());
    std::optional<Range> range;
    for (const llvm::APInt &element : value.getValues<llvm::APInt>()) {
      int64_t at =
          readUnsigned ? static_cast<int64_t>(element.getZExtValue()) : element.getSExtValue();
      range = range ? joined(*range, {at, at}) : Range{at, at};
      if (value.isSplat())
        break;
    }
    return range;
  }

  std::optional<Range> ofAny(mlir::ValueRange values, int depth) {
    std::optional<Range> range;
    for (mlir::Value value : values) {
      std::optional<Range> one = of(value, depth);
      if (!one)
        return std::nullopt;
      range = range ? joined(*range, *one) : *one;
    }
    return range;
  }

  std::optional<Range> ofElementwise(mlir::Operation *op, int depth) {
    llvm::StringRef name = op->getName().getStringRef();
    if (isSelect(op))
      return ofSelect(op, depth);
    llvm::SmallVector<Range, 3> in;
    for (mlir::Value operand : op->getOperands()) {
      std::optional<Range> range = of(operand, depth);
      if (!range)
        return std::nullopt;
      in.push_back(*range);
    }
    if (name == "stablehlo.convert" && in.size() == 1)
      return in[0];
    if (name == "stablehlo.negate" && in.size() == 1)
      return narrow(-Wide(in[0].most), -Wide(in[0].least));
    if (name == "stablehlo.clamp" && in.size() == 3)
      return smaller(larger(in[1], in[0]), in[2]);
    return in.size() == 2 ? ofBinary(name, in[0], in[1]) : std::nullopt;
  }

  static std::optional<Range> ofBinary(llvm::StringRef name, const Range &a, const Range &b) {
    if (name == "stablehlo.add")
      return narrow(Wide(a.least) + b.least, Wide(a.most) + b.most);
    if (name == "stablehlo.subtract")
      return narrow(Wide(a.least) - b.most, Wide(a.most) - b.least);
    if (name == "stablehlo.multiply") {
      Wide corners[] = {Wide(a.least) * b.least, Wide(a.least) * b.most, Wide(a.most) * b.least,
                        Wide(a.most) * b.most};
      return narrow(*std::min_element(corners, corners + 4),
                    *std::max_element(corners, corners + 4));
    }
    if (name == "stablehlo.maximum")
      return larger(a, b);
    if (name == "stablehlo.minimum")
      return smaller(a, b);
    if (name == "stablehlo.and" && (a.least >= 0 || b.least >= 0))
      return Range{0, a.least < 0 ? b.most : b.least < 0 ? a.most : std::min(a.most, b.most)};
    if (b.least <= 0)
      return std::nullopt;
    if (name == "stablehlo.remainder")
      return Range{a.least >= 0 ? 0 : std::max(a.least, 1 - b.most),
                   a.most <= 0 ? 0 : std::min(a.most, b.most - 1)};
    if (name == "stablehlo.divide")
      return Range{a.least / (a.least >= 0 ? b.most : b.least),
                   a.most / (a.most >= 0 ? b.least : b.most)};
    return std::nullopt;
  }

  /// As `i < 0 ? i + n : i`, of which only one side is ever taken.
  std::optional<Range> ofSelect(mlir::Operation *op, int depth) {
    mlir::Operation *compare = op->getOperand(0).getDefiningOp();
    if (compare && compare->getName().getStringRef() == "stablehlo.compare") {
      std::optional<Range> a = of(compare->getOperand(0), depth);
      std::optional<Range> b = of(compare->getOperand(1), depth);
      std::optional<bool> answer = a && b ? decided(comparison(compare), *a, *b) : std::nullopt;
      if (answer)
        return of(op->getOperand(*answer ? 1 : 2), depth);
    }
    return ofAny(op->getOperands().drop_front(), depth);
  }

  static Range larger(const Range &a, const Range &b) {
    return {std::max(a.least, b.least), std::max(a.most, b.most)};
  }
  static Range smaller(const Range &a, const Range &b) {
    return {std::min(a.least, b.least), std::min(a.most, b.most)};
  }
  static std::optional<Range> narrow(Wide least, Wide most) {
    if (least < std::numeric_limits<int64_t>::min() || most > std::numeric_limits<int64_t>::max())
      return std::nullopt;
    return Range{static_cast<int64_t>(least), static_cast<int64_t>(most)};
  }

  static constexpr int64_t kMaxElements = 4096;
  int budget = 256;
};

} // namespace

std::optional<IntegerRange> integerRange(mlir::Value value) { return RangeFinder().of(value); }

namespace {

/// The dim of the result that dim `dim` of the operand becomes.
std::optional<int> throughReshape(mlir::Operation *reshape, int dim) {
  auto from = llvm::dyn_cast<mlir::RankedTensorType>(reshape->getOperand(0).getType());
  auto to = llvm::dyn_cast<mlir::RankedTensorType>(reshape->getResult(0).getType());
  if (!from || !to || !from.hasStaticShape() || !to.hasStaticShape())
    return std::nullopt;
  int64_t before = 1, size = from.getDimSize(dim);
  for (int i = 0; i < dim; ++i)
    before *= from.getDimSize(i);
  int64_t passed = 1;
  for (int i = 0; i < to.getRank(); ++i) {
    if (passed == before && to.getDimSize(i) == size)
      return i;
    passed *= to.getDimSize(i);
  }
  return std::nullopt;
}

} // namespace

mlir::Value onlyChoice(mlir::Operation *select) {
  mlir::Operation *compare = select->getOperand(0).getDefiningOp();
  if (!compare || compare->getName().getStringRef() != "stablehlo.compare" ||
      compare->getNumOperands() != 2 || comparison(compare) != Comparison::LT)
    return {};
  std::optional<IntegerRange> a = integerRange(compare->getOperand(0));
  std::optional<IntegerRange> b = integerRange(compare->getOperand(1));
  if (!a || !b)
    return {};
  if (a->least >= b->most)
    return select->getOperand(2);
  return a->most < b->least ? select->getOperand(1) : mlir::Value();
}

std::optional<int> countingDim(mlir::Value value) {
  mlir::Operation *op = value.getDefiningOp();
  if (!op || op->getNumResults() != 1)
    return std::nullopt;
  if (kindOf(op) == OpKind::Iota) {
    mlir::FailureOr<int64_t> along = iotaDim(op);
    return mlir::succeeded(along) ? std::optional(static_cast<int>(*along)) : std::nullopt;
  }
  const llvm::StringRef name = op->getName().getStringRef();
  if (isSelect(op)) {
    mlir::Value chosen = onlyChoice(op);
    return chosen ? countingDim(chosen) : std::nullopt;
  }
  if (name == "stablehlo.clamp" && op->getNumOperands() == 3) {
    std::optional<IntegerRange> least = integerRange(op->getOperand(0)),
                                range = integerRange(op->getOperand(1)),
                                most = integerRange(op->getOperand(2));
    const bool isIdle =
        least && range && most && least->most <= range->least && range->most <= most->least;
    return isIdle ? countingDim(op->getOperand(1)) : std::nullopt;
  }
  if (op->getNumOperands() != 1)
    return std::nullopt;
  std::optional<int> dim;
  if (name == "stablehlo.convert")
    return countingDim(op->getOperand(0));
  switch (kindOf(op)) {
  case OpKind::Reshape:
    dim = countingDim(op->getOperand(0));
    return dim ? throughReshape(op, *dim) : std::nullopt;
  case OpKind::BroadcastInDim: {
    mlir::FailureOr<Dims> dims = broadcastDims(op);
    dim = countingDim(op->getOperand(0));
    if (mlir::failed(dims) || !dim || *dim >= static_cast<int>(dims->size()))
      return std::nullopt;
    return static_cast<int>((*dims)[*dim]);
  }
  default:
    return std::nullopt;
  }
}

} // namespace alpa
