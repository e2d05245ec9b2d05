// By induction over the program: what a loop carries is assumed to combine, if what it starts from
// does, and that must follow for the next iteration.

#include "alpa/Analysis/PartialSums.h"
#include "alpa/Analysis/Meetings.h"
#include "alpa/IR/StablehloBuilder.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/TypeUtilities.h"

namespace alpa {

ReductionKind PartialSums::combinationOf(mlir::OpResult value) {
  for (ReductionKind tried : {ReductionKind::Add, ReductionKind::Max, ReductionKind::Min,
                              ReductionKind::And, ReductionKind::Or, ReductionKind::Mul}) {
    kind = tried;
    known.clear();
    if (isPartial(value))
      return kind;
  }
  return ReductionKind::None;
}

bool PartialSums::isPartial(mlir::Value value) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  const bool result = decide(value);
  known[value] = result;
  return result;
}

bool PartialSums::decide(mlir::Value value) {
  if (isNeutral(value))
    return true;
  auto result = llvm::dyn_cast<mlir::OpResult>(value);
  if (!result || batch.carries(value))
    return false;
  mlir::Operation *op = result.getOwner();
  if (isWhile(op))
    return ofLoop(result);
  if (isBranch(op))
    return ofBranch(result);
  if (kindOf(op) == OpKind::OptimizationBarrier)
    return isPartial(op->getOperand(result.getResultNumber()));
  if (llvm::any_of(op->getOperands(), [&](mlir::Value v) { return batch.carries(v); }))
    return ofCombination(op);
  return ofLinear(op);
}

bool PartialSums::isNeutral(mlir::Value value) const {
  mlir::Attribute identity = identityElement(kind, mlir::getElementTypeOrSelf(value.getType()));
  return identity && splatElement(value) == identity;
}

bool PartialSums::allPartial(mlir::ValueRange values) {
  return llvm::all_of(values, [this](mlir::Value value) { return isPartial(value); });
}

/// Of examples. What it starts from is combined as often as there are parts.
bool PartialSums::ofCombination(mlir::Operation *op) {
  if (batch.endAt(op) != BatchEnd::Reduced || alpa::combinationOf(op) != kind)
    return false;
  switch (kindOf(op)) {
  case OpKind::Reduce:
    return op->getNumResults() == 1 && isNeutral(op->getOperand(1));
  case OpKind::Scatter:
    return op->getNumResults() == 1 && isPartial(op->getOperand(0));
  default:
    return true;
  }
}

/// Of what combines over parts, an op that makes the same of the combined as of each part,
/// combined.
bool PartialSums::ofLinear(mlir::Operation *op) {
  const bool isSum = kind == ReductionKind::Add;
  switch (kindOf(op)) {
  case OpKind::Elementwise:
    return ofElementwise(op);
  case OpKind::BroadcastInDim:
  case OpKind::Reshape:
  case OpKind::Transpose:
  case OpKind::Slice:
  case OpKind::Reverse:
    return isPartial(op->getOperand(0));
  case OpKind::DynamicSlice:
  case OpKind::Gather:
    return isPartial(op->getOperand(0)) &&
           llvm::all_of(op->getOperands().drop_front(), [&](mlir::Value v) { return isFixed(v); });
  case OpKind::DynamicUpdateSlice:
    return allPartial(op->getOperands().take_front(2)) &&
           llvm::all_of(op->getOperands().drop_front(2), [&](mlir::Value v) { return isFixed(v); });
  case OpKind::Concatenate:
  case OpKind::Pad:
    return allPartial(op->getOperands());
  case OpKind::Reduce:
    return op->getNumResults() == 1 && reductionKind(op) == kind && isPartial(op->getOperand(0)) &&
           isNeutral(op->getOperand(1));
  case OpKind::DotGeneral:
  case OpKind::Convolution:
    return isSum && ((isPartial(op->getOperand(0)) && isFixed(op->getOperand(1))) ||
                     (isFixed(op->getOperand(0)) && isPartial(op->getOperand(1))));
  default:
    return false;
  }
}

bool PartialSums::ofElementwise(mlir::Operation *op) {
  const mlir::OperandRange operands = op->getOperands();
  if (isSelect(op))
    return isFixed(operands[0]) && allPartial(operands.drop_front());
  if (elementwiseKind(op) == kind)
    return allPartial(operands);
  if (kind != ReductionKind::Add)
    return false;
  switch (linearityOf(op)) {
  case Linearity::Together:
    return allPartial(operands);
  case Linearity::AnyOne:
    return (isPartial(operands[0]) && isFixed(operands[1])) ||
           (isFixed(operands[0]) && isPartial(operands[1]));
  case Linearity::First:
    return isPartial(operands[0]) && isFixed(operands[1]);
  case Linearity::None:
    return false;
  }
  return false;
}

bool PartialSums::ofLoop(mlir::OpResult value) {
  mlir::Operation *op = value.getOwner();
  const unsigned number = value.getResultNumber();
  if (const ExampleLoop *loop = batch.exampleLoop(op))
    return kind == ReductionKind::Add && loop->carried[number] == ExampleLoop::Carried::Sum;
  if (!isPartial(op->getOperand(number)))
    return false;
  // Other carried values may be part of the induction; those that do not combine stay unknown.
  const llvm::DenseMap<mlir::Value, bool> before = known;
  mlir::Block &body = whileBody(op).front();
  llvm::SmallVector<bool> assumed;
  for (mlir::Value start : op->getOperands())
    assumed.push_back(!batch.carries(op->getResult(assumed.size())) && isPartial(start));
  for (bool changed = true; changed && assumed[number];) {
    changed = false;
    known = before;
    for (auto [argument, isAssumed] : llvm::zip(body.getArguments(), assumed))
      known[argument] = isAssumed;
    for (auto [i, returned] : llvm::enumerate(body.back().getOperands()))
      if (assumed[i] && !isPartial(returned)) {
        assumed[i] = false;
        changed = true;
      }
  }
  known = before;
  return assumed[number];
}

/// What chooses is the same for every part: else it would meet the examples.
bool PartialSums::ofBranch(mlir::OpResult value) {
  return llvm::all_of(value.getOwner()->getRegions(), [&](mlir::Region &region) {
    return isPartial(region.front().back().getOperand(value.getResultNumber()));
  });
}

} // namespace alpa
