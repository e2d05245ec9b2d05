// Starts of slices that may be out of range are clamped by ops of their own. The slices clamp them
// too, but XLA forgets it where it merges a slice of a slice (openxla/xla#49122) and where it
// slices a dim that devices share (openxla/xla#49118).

#include "Normalize.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/StablehloBuilder.h"
#include "alpa/IR/StablehloConstants.h"

namespace alpa {
namespace {

/// Builds in front of an op, in the phase (and layer, round, ...) that it has.
class Before : mlir::OpBuilder::Listener {
public:
  explicit Before(mlir::Operation *op) : op(op), builder(op, this), make(builder, op->getLoc()) {}
  StablehloBuilder *operator->() { return &make; }

private:
  void notifyOperationInserted(mlir::Operation *made, mlir::OpBuilder::InsertPoint) override {
    for (llvm::StringRef name : {kPhaseAttr, kRoundAttr, kLayerAttr, kStageAttr})
      if (mlir::Attribute value = op->getDiscardableAttr(name))
        made->setDiscardableAttr(name, value);
  }

  mlir::Operation *op;
  mlir::OpBuilder builder;
  StablehloBuilder make;
};

mlir::RankedTensorType staticType(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type : mlir::RankedTensorType();
}

bool isWithin(mlir::Value start, int64_t last) {
  std::optional<IntegerRange> range = integerRange(start);
  return range && range->least >= 0 && range->most <= last;
}

/// A bound that the type of the starts cannot hold bounds nothing.
int64_t fitting(int64_t bound, mlir::RankedTensorType type) {
  auto element = llvm::cast<mlir::IntegerType>(type.getElementType());
  unsigned bits = element.getWidth() - (element.isUnsigned() ? 0 : 1);
  return bits >= 63 ? bound : std::min<int64_t>(bound, (int64_t(1) << bits) - 1);
}

bool isClampTo(mlir::Operation *op, mlir::DenseElementsAttr bounds) {
  if (!isClamp(op))
    return false;
  mlir::Operation *most = op->getOperand(2).getDefiningOp();
  std::optional<IntegerRange> least = integerRange(op->getOperand(0));
  return least && least->least == 0 && least->most == 0 && most && most->getAttr("value") == bounds;
}

/// Starts are the operands from `first` on; of dim d the last good one is whole - part.
void clampStarts(mlir::Operation *op, unsigned first, mlir::Value partValue) {
  mlir::RankedTensorType whole = staticType(op->getOperand(0)), part = staticType(partValue);
  if (!whole || !part || op->getNumOperands() != first + whole.getRank() ||
      part.getRank() != whole.getRank())
    return;
  Before before(op);
  for (int dim = 0; dim < whole.getRank(); ++dim) {
    mlir::Value start = op->getOperand(first + dim);
    mlir::RankedTensorType type = staticType(start);
    int64_t last = whole.getDimSize(dim) - part.getDimSize(dim);
    if (!type || type.getRank() != 0 || !type.getElementType().isInteger() || last < 0 ||
        isWithin(start, last))
      continue;
    op->setOperand(first + dim, last == 0 ? before->integer(0, type)
                                          : before->clamp(start, StablehloBuilder::elements(
                                                                     type, fitting(last, type))));
  }
}

/// XLA makes a dynamic slice of a gather of one window.
void clampIndex(mlir::Operation *gather) {
  std::optional<Dims> last = lastStartsOfOnlyWindow(gather);
  mlir::RankedTensorType type = last ? staticType(gather->getOperand(1)) : nullptr;
  if (!type)
    return;
  for (int64_t &bound : *last)
    bound = fitting(bound, type);
  if (last->empty() || isWithin(gather->getOperand(1), *llvm::min_element(*last)))
    return;
  mlir::DenseElementsAttr bounds = StablehloBuilder::elements(type, *last);
  if (mlir::Operation *clamp = gather->getOperand(1).getDefiningOp();
      clamp && isClampTo(clamp, bounds))
    return;
  gather->setOperand(1, Before(gather)->clamp(gather->getOperand(1), bounds));
}

} // namespace

void clampStarts(mlir::Region &region) {
  region.walk([](mlir::Operation *op) {
    if (op->getNumResults() != 1 || op->getNumOperands() < 2)
      return;
    switch (kindOf(op)) {
    case OpKind::DynamicSlice:
      return clampStarts(op, 1, op->getResult(0));
    case OpKind::Gather:
      return clampIndex(op);
    case OpKind::DynamicUpdateSlice:
      return clampStarts(op, 2, op->getOperand(1));
    default:
      return;
    }
  });
}

} // namespace alpa
