// See the header.

#include "alpa/Analysis/ExampleLoops.h"
#include "alpa/IR/StablehloBuilder.h"
#include "alpa/IR/StablehloConstants.h"
#include "mlir/IR/BuiltinTypes.h"

namespace alpa {
namespace {

class ExampleLoopFinder {
public:
  ExampleLoopFinder(mlir::Operation *whileOp, llvm::ArrayRef<std::optional<int>> batchDims)
      : whileOp(whileOp), body(whileBody(whileOp).front()), batchDims(batchDims) {}

  std::optional<ExampleLoop> find(llvm::function_ref<bool(mlir::Value)> carriesBatch) {
    if (!findCounter() || readsFromOutside(carriesBatch))
      return std::nullopt;
    bool readsExamples = false;
    loop.writtenDims.assign(body.getNumArguments(), -1);
    for (mlir::BlockArgument argument : body.getArguments()) {
      std::optional<ExampleLoop::Carried> kind = kindOfCarried(argument);
      if (!kind)
        return std::nullopt;
      loop.carried.push_back(*kind);
      readsExamples |= *kind == ExampleLoop::Carried::Same && batchDims[argument.getArgNumber()];
    }
    return readsExamples ? std::optional(std::move(loop)) : std::nullopt;
  }

private:
  bool findCounter() {
    std::optional<int64_t> trips = tripCount(whileOp);
    if (!trips || *trips < 1)
      return false;
    loop.numIterations = loop.period = *trips;
    for (mlir::BlockArgument argument : body.getArguments()) {
      mlir::BlockArgument inCondition =
          whileCondition(whileOp).getArgument(argument.getArgNumber());
      if (counts(argument) && !inCondition.use_empty()) {
        loop.counter = argument.getArgNumber();
        return true;
      }
    }
    return false;
  }

  /// From 0 in steps of 1.
  bool counts(mlir::BlockArgument argument) const {
    return counterStep(argument) == 1 &&
           constantInteger(whileOp->getOperand(argument.getArgNumber())) == 0;
  }

  bool readsFromOutside(llvm::function_ref<bool(mlir::Value)> carriesBatch) {
    return body
        .walk([&](mlir::Operation *op) {
          for (mlir::Value operand : op->getOperands())
            if (!whileOp->isAncestor(operand.getParentRegion()->getParentOp()) &&
                carriesBatch(operand))
              return mlir::WalkResult::interrupt();
          return mlir::WalkResult::advance();
        })
        .wasInterrupted();
  }

  std::optional<ExampleLoop::Carried> kindOfCarried(mlir::BlockArgument argument) {
    using Carried = ExampleLoop::Carried;
    const unsigned number = argument.getArgNumber();
    if (counts(argument))
      return Carried::Counter;
    if (isSame(argument))
      return batchDims[number] && !readsOneByOne(argument) ? std::nullopt
                                                           : std::optional(Carried::Same);
    mlir::Operation *next = nextValue(whileOp, number).getDefiningOp();
    if (!next || next->getBlock() != &body || !argument.hasOneUse() || !next->hasOneUse())
      return std::nullopt;
    if (isWritten(next, argument))
      return Carried::Written;
    return isSum(next, argument) ? std::optional(Carried::Sum) : std::nullopt;
  }

  /// Also where it only went through a barrier, as what jax.checkpoint reads does.
  bool isSame(mlir::BlockArgument argument) const {
    mlir::Value next = nextValue(whileOp, argument.getArgNumber());
    while (next != argument && next.getDefiningOp() &&
           kindOf(next.getDefiningOp()) == OpKind::OptimizationBarrier)
      next = next.getDefiningOp()->getOperand(llvm::cast<mlir::OpResult>(next).getResultNumber());
    return next == argument;
  }

  bool readsOneByOne(mlir::BlockArgument argument) {
    return llvm::all_of(argument.getUses(), [&](mlir::OpOperand &use) {
      mlir::Operation *op = use.getOwner();
      return op == &body.back() ||
             (kindOf(op) == OpKind::DynamicSlice && use.getOperandNumber() == 0 &&
              op->getNumResults() == 1 &&
              isAccess(op, *batchDims[argument.getArgNumber()], op->getResult(0), 1));
    });
  }

  bool isWritten(mlir::Operation *next, mlir::BlockArgument argument) {
    if (kindOf(next) != OpKind::DynamicUpdateSlice || next->getNumOperands() < 2 ||
        next->getOperand(0) != argument)
      return false;
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(argument.getType());
    for (int dim = 0; type && dim < type.getRank(); ++dim)
      if ((!batchDims[argument.getArgNumber()] || *batchDims[argument.getArgNumber()] == dim) &&
          isAccess(next, dim, next->getOperand(1), 2)) {
        loop.writtenDims[argument.getArgNumber()] = dim;
        return true;
      }
    return false;
  }

  bool isSum(mlir::Operation *next, mlir::BlockArgument argument) const {
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(argument.getType());
    return isAddition(next) && type && !batchDims[argument.getArgNumber()] &&
           splatElement(whileOp->getOperand(argument.getArgNumber())) ==
               identityElement(ReductionKind::Add, type.getElementType());
  }

  /// Whether `op` takes the part of length one at the counter of dim `dim`, which is as long as the
  /// loop. Its starts are operands from `firstStart` on.
  bool isAccess(mlir::Operation *op, int dim, mlir::Value part, unsigned firstStart) {
    auto whole = llvm::dyn_cast<mlir::RankedTensorType>(op->getOperand(0).getType());
    auto one = llvm::dyn_cast<mlir::RankedTensorType>(part.getType());
    if (op->getBlock() != &body || !whole || !one || dim >= whole.getRank() ||
        one.getRank() != whole.getRank() || whole.getDimSize(dim) != loop.numIterations ||
        one.getDimSize(dim) != 1 || op->getNumOperands() <= firstStart + dim)
      return false;
    std::optional<Affine> start = affine(op->getOperand(firstStart + dim));
    if (!start)
      return false;
    const bool isForward = start->factor == 1 && start->offset == 0;
    const bool isReversed = start->factor == -1 && start->offset == loop.numIterations - 1;
    if (!isForward && !isReversed)
      return false;
    // In two directions, one iteration would read two examples.
    if (!loop.accesses.empty() && loop.isReversed != isReversed)
      return false;
    loop.isReversed = isReversed;
    loop.accesses[op] = dim;
    return true;
  }

  /// factor * counter + offset
  struct Affine {
    int64_t factor, offset;
  };
  std::optional<Affine> affine(mlir::Value value) const {
    if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(value);
        argument && argument.getOwner() == &body && counts(argument))
      return Affine{1, 0};
    if (std::optional<int64_t> constant = constantInteger(value))
      return Affine{0, *constant};
    mlir::Operation *op = value.getDefiningOp();
    if (!op || op->getBlock() != &body)
      return std::nullopt;
    if (isConversion(op) || kindOf(op) == OpKind::Reshape)
      return affine(op->getOperand(0));
    // Negative indices count from the end; a counter is none.
    if (mlir::Value chosen = isSelect(op) ? onlyChoice(op) : mlir::Value())
      return affine(chosen);
    const bool subtracts = isSubtraction(op);
    if (!subtracts && !isAddition(op))
      return std::nullopt;
    std::optional<Affine> a = affine(op->getOperand(0)), b = affine(op->getOperand(1));
    if (!a || !b)
      return std::nullopt;
    const int64_t sign = subtracts ? -1 : 1;
    return Affine{a->factor + sign * b->factor, a->offset + sign * b->offset};
  }

  mlir::Operation *whileOp;
  mlir::Block &body;
  llvm::ArrayRef<std::optional<int>> batchDims;
  ExampleLoop loop;
};

} // namespace

std::optional<ExampleLoop> exampleLoop(mlir::Operation *whileOp,
                                       llvm::ArrayRef<std::optional<int>> batchDims,
                                       llvm::function_ref<bool(mlir::Value)> carriesBatch) {
  return ExampleLoopFinder(whileOp, batchDims).find(carriesBatch);
}

} // namespace alpa
