// How often a while op runs: recognises the loops that JAX emits for scan and fori_loop.

#include "Comparison.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/MathExtras.h"

namespace alpa {
namespace {

/// `limit > counter` is `counter < limit`.
Comparison mirrored(Comparison comparison) {
  switch (comparison) {
  case Comparison::LT:
    return Comparison::GT;
  case Comparison::LE:
    return Comparison::GE;
  case Comparison::GT:
    return Comparison::LT;
  case Comparison::GE:
    return Comparison::LE;
  default:
    return comparison;
  }
}

bool isNamed(mlir::Operation *op, llvm::StringRef name, unsigned numOperands) {
  return op && op->getName().getStringRef() == name && op->getNumOperands() == numOperands;
}

bool keepsInteger(mlir::Operation *op) {
  return isNamed(op, "stablehlo.convert", 1) || isNamed(op, "stablehlo.reshape", 1) ||
         isNamed(op, "stablehlo.broadcast_in_dim", 1);
}

/// The while op whose condition or body has `value` as an argument, or null.
mlir::Operation *whileCarrying(mlir::BlockArgument argument) {
  mlir::Operation *op = argument ? argument.getOwner()->getParentOp() : nullptr;
  return op && isWhile(op) ? op : nullptr;
}

bool isCounterOf(mlir::Value value, mlir::Operation *whileOp, mlir::Region &region,
                 unsigned index) {
  auto argument = llvm::dyn_cast<mlir::BlockArgument>(value);
  return argument && argument.getOwner() == &region.front() && argument.getArgNumber() == index;
}

/// The constant that the body adds to carried value `index` each time.
std::optional<int64_t> stepOf(mlir::Operation *whileOp, unsigned index) {
  mlir::Operation *op = nextValue(whileOp, index).getDefiningOp();
  bool adds = isNamed(op, "stablehlo.add", 2), subtracts = isNamed(op, "stablehlo.subtract", 2);
  if (!adds && !subtracts)
    return std::nullopt;
  bool first = isCounterOf(op->getOperand(0), whileOp, whileBody(whileOp), index);
  if (!first && !(adds && isCounterOf(op->getOperand(1), whileOp, whileBody(whileOp), index)))
    return std::nullopt;
  std::optional<int64_t> step = constantInteger(op->getOperand(first ? 1 : 0));
  return step && subtracts ? -*step : step;
}

/// How many of start, start + step, ... satisfy the comparison before the first that does not;
/// nothing where they never end.
std::optional<int64_t> countSteps(int64_t start, int64_t limit, int64_t step, Comparison compare) {
  // Bounds far beyond any loop would overflow the arithmetic below.
  constexpr int64_t kFar = int64_t(1) << 60;
  if (std::abs(start) > kFar || std::abs(limit) > kFar || std::abs(step) > kFar)
    return std::nullopt;
  int64_t distance = limit - start;
  if (compare == Comparison::GT || compare == Comparison::GE) { // count downwards
    distance = -distance;
    step = -step;
  }
  if (compare == Comparison::LE || compare == Comparison::GE)
    ++distance;
  if (compare == Comparison::NE && step < 0) {
    distance = -distance;
    step = -step;
  }
  if (compare == Comparison::NE && step > 0 && (distance < 0 || distance % step != 0))
    return std::nullopt;
  if (distance <= 0)
    return 0;
  if (step <= 0)
    return std::nullopt;
  return llvm::divideCeilSigned(distance, step);
}

} // namespace

Comparison comparison(mlir::Operation *compare) {
  mlir::Attribute attr = compare->getAttr("comparison_direction");
  if (!attr)
    return Comparison::Other;
  std::string text;
  llvm::raw_string_ostream(text) << attr;
  return llvm::StringSwitch<Comparison>(text)
      .Case("#stablehlo<comparison_direction LT>", Comparison::LT)
      .Case("#stablehlo<comparison_direction LE>", Comparison::LE)
      .Case("#stablehlo<comparison_direction GT>", Comparison::GT)
      .Case("#stablehlo<comparison_direction GE>", Comparison::GE)
      .Case("#stablehlo<comparison_direction EQ>", Comparison::EQ)
      .Case("#stablehlo<comparison_direction NE>", Comparison::NE)
      .Default(Comparison::Other);
}

mlir::Value nextValue(mlir::Operation *whileOp, unsigned index) {
  return whileBody(whileOp).front().back().getOperand(index);
}

bool isLoopInvariant(mlir::BlockArgument argument) {
  mlir::Operation *loop = whileCarrying(argument);
  return loop && nextValue(loop, argument.getArgNumber()) == argument;
}

std::optional<int64_t> counterStep(mlir::BlockArgument argument) {
  mlir::Operation *loop = whileCarrying(argument);
  if (!loop || argument.getOwner() != &whileBody(loop).front())
    return std::nullopt;
  return stepOf(loop, argument.getArgNumber());
}

bool isCounter(mlir::BlockArgument argument) { return counterStep(argument).has_value(); }

std::optional<int64_t> constantInteger(mlir::Value value) {
  mlir::Operation *op = value.getDefiningOp();
  while (!op || keepsInteger(op)) {
    if (op) {
      value = op->getOperand(0);
    } else {
      // A loop-invariant carried value is what the loop starts with, and that may be carried by an
      // outer loop.
      auto argument = llvm::cast<mlir::BlockArgument>(value);
      mlir::Operation *whileOp = whileCarrying(argument);
      unsigned index = argument.getArgNumber();
      if (!whileOp || !isCounterOf(nextValue(whileOp, index), whileOp, whileBody(whileOp), index))
        return std::nullopt;
      value = whileOp->getOperand(index);
    }
    op = value.getDefiningOp();
  }
  if (kindOf(op) == OpKind::Constant) {
    auto splat = llvm::dyn_cast_or_null<mlir::SplatElementsAttr>(op->getAttr("value"));
    if (!splat || !splat.getElementType().isIntOrIndex())
      return std::nullopt;
    llvm::APInt integer = splat.getSplatValue<llvm::APInt>();
    bool isUnsigned = splat.getElementType().isUnsignedInteger();
    if (isUnsigned ? integer.getActiveBits() > 63 : integer.getSignificantBits() > 64)
      return std::nullopt;
    return isUnsigned ? static_cast<int64_t>(integer.getZExtValue()) : integer.getSExtValue();
  }
  return std::nullopt;
}

std::optional<int64_t> tripCount(mlir::Operation *whileOp) {
  if (!isWhile(whileOp))
    return std::nullopt;
  mlir::Operation &conditionReturn = whileCondition(whileOp).front().back();
  mlir::Operation *compare = conditionReturn.getOperand(0).getDefiningOp();
  if (!isNamed(compare, "stablehlo.compare", 2))
    return std::nullopt;

  for (bool counterFirst : {true, false}) {
    auto counter = llvm::dyn_cast<mlir::BlockArgument>(compare->getOperand(counterFirst ? 0 : 1));
    if (!counter || counter.getOwner() != &whileCondition(whileOp).front() ||
        !whileCarrying(counter))
      continue;
    unsigned index = counter.getArgNumber();
    std::optional<int64_t> start = constantInteger(whileOp->getOperand(index));
    std::optional<int64_t> limit = constantInteger(compare->getOperand(counterFirst ? 1 : 0));
    std::optional<int64_t> step = stepOf(whileOp, index);
    if (!start || !limit || !step)
      continue;
    Comparison direction = comparison(compare);
    if (direction == Comparison::Other)
      return std::nullopt;
    return countSteps(*start, *limit, *step, counterFirst ? direction : mirrored(direction));
  }
  return std::nullopt;
}

} // namespace alpa
