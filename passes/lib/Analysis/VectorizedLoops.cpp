// See the header.

#include "alpa/Analysis/VectorizedLoops.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/DenseSet.h"

namespace alpa {
namespace {

/// Compares what the condition computes with what the body computes, from the same carried values.
class SameInBody {
public:
  explicit SameInBody(mlir::Operation *whileOp)
      : condition(&whileCondition(whileOp).front()), body(&whileBody(whileOp).front()) {}

  bool operator()(mlir::Value inCondition, mlir::Value inBody) {
    llvm::SmallVector<std::pair<mlir::Value, mlir::Value>> pending = {{inCondition, inBody}};
    while (!pending.empty()) {
      auto pair = pending.pop_back_val();
      if (!same.insert(pair).second || isSameArgument(pair.first, pair.second))
        continue;
      auto a = llvm::dyn_cast<mlir::OpResult>(pair.first);
      auto b = llvm::dyn_cast<mlir::OpResult>(pair.second);
      if (!a || !b || a.getResultNumber() != b.getResultNumber() ||
          !doSame(a.getOwner(), b.getOwner()))
        return false;
      for (auto operands : llvm::zip(a.getOwner()->getOperands(), b.getOwner()->getOperands()))
        pending.push_back({std::get<0>(operands), std::get<1>(operands)});
    }
    return true;
  }

private:
  bool isSameArgument(mlir::Value a, mlir::Value b) const {
    auto first = llvm::dyn_cast<mlir::BlockArgument>(a);
    auto second = llvm::dyn_cast<mlir::BlockArgument>(b);
    if (!first || !second || first.getOwner() != condition || second.getOwner() != body)
      return a == b;
    return first.getArgNumber() == second.getArgNumber();
  }

  static bool doSame(mlir::Operation *a, mlir::Operation *b) {
    if (a == b)
      return true;
    bool sameRegions =
        a->getNumRegions() == b->getNumRegions() &&
        llvm::all_of(llvm::zip(a->getRegions(), b->getRegions()), [](auto pair) {
          return mlir::OperationEquivalence::isRegionEquivalentTo(
              &std::get<0>(pair), &std::get<1>(pair), mlir::OperationEquivalence::IgnoreLocations);
        });
    return sameRegions && a->getName() == b->getName() && isMergeable(a) &&
           a->getNumOperands() == b->getNumOperands() &&
           a->getResultTypes() == b->getResultTypes() &&
           a->getPropertiesAsAttribute() == b->getPropertiesAsAttribute() &&
           attributesOf(a) == attributesOf(b);
  }

  /// Without what our passes number and name.
  static mlir::DictionaryAttr attributesOf(mlir::Operation *op) {
    mlir::NamedAttrList attributes(op->getDiscardableAttrDictionary());
    attributes.erase(kOpIdAttr);
    attributes.erase(kPhaseAttr);
    return attributes.getDictionary(op->getContext());
  }

  mlir::Block *condition, *body;
  llvm::DenseSet<std::pair<mlir::Value, mlir::Value>> same;
};

mlir::Value beforeBroadcast(mlir::Value value) {
  while (mlir::Operation *op = value.getDefiningOp()) {
    if (kindOf(op) != OpKind::BroadcastInDim && kindOf(op) != OpKind::Reshape)
      break;
    value = op->getOperand(0);
  }
  return value;
}

/// The predicate whose `any` the condition returns, or null.
mlir::Value anyOf(mlir::Operation *whileOp) {
  mlir::Operation *op = whileCondition(whileOp).front().back().getOperand(0).getDefiningOp();
  if (!op || kindOf(op) != OpKind::Reduce || reductionKind(op) != ReductionKind::Or)
    return {};
  mlir::Attribute start = splatElement(op->getOperand(1));
  mlir::Type element = mlir::getElementTypeOrSelf(op->getOperand(0).getType());
  bool isAny = element.isInteger(1) && start == identityElement(ReductionKind::Or, element);
  return isAny ? beforeBroadcast(op->getOperand(0)) : mlir::Value();
}

} // namespace

bool endsPerExample(mlir::Operation *whileOp) {
  mlir::Value predicate = anyOf(whileOp);
  if (!predicate)
    return false;
  SameInBody same(whileOp);
  mlir::Block &body = whileBody(whileOp).front();
  return llvm::all_of(body.getArguments(), [&](mlir::BlockArgument argument) {
    if (isLoopInvariant(argument))
      return true;
    mlir::Operation *next = nextValue(whileOp, argument.getArgNumber()).getDefiningOp();
    return next && isSelect(next) && next->getOperand(2) == argument &&
           same(predicate, beforeBroadcast(next->getOperand(0)));
  });
}

} // namespace alpa
