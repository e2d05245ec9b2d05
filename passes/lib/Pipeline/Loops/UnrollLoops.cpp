// alpa-unroll-loops: scans over layers become layers, which stages can be made of, and gradients
// that a loop sums become sums of their own, which microbatches can contribute to.

#include "Normalize/Normalize.h"
#include "SimplifyUnrolled.h"
#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Remark.h"
#include "alpa/Passes.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
#define GEN_PASS_DEF_UNROLLLOOPS
#include "alpa/Passes.h.inc"
namespace {

/// On a loop to unroll: why. Copies of a loop in an unrolled body inherit it.
constexpr llvm::StringLiteral kUnrollAttr = "alpa.unroll";

/// Which loops must be unrolled, decided before anything changes.
class LoopChoice {
public:
  LoopChoice(const OpGraph &graph, const BatchDims &batch, bool all)
      : graph(graph), batch(batch), all(all) {
    llvm::DenseSet<mlir::Operation *> unclear;
    for (const FrontierValue &value : trainingPhases(graph, batch).frontier)
      if (value.combine == ReductionKind::None && value.value.getDefiningOp())
        unclear.insert(value.value.getDefiningOp());
    for (const BatchDims::End &end : batch.ends())
      if (end.kind == BatchEnd::Reduced && !isInCondition(end.op) &&
          unclear.contains(outermost(end.op)))
        for (mlir::Operation *op = end.op->getParentOp(); op != graph.function();
             op = op->getParentOp())
          summing.insert(op);
  }

  /// Marks loops; true if there are any.
  bool mark() { return markIn(graph.function().getBody().front()); }

private:
  /// What a condition makes of examples is no sum that leaves the loop.
  static bool isInCondition(mlir::Operation *op) {
    mlir::Operation *loop = op->getParentOp();
    return isWhile(loop) && op->getParentRegion() == &whileCondition(loop);
  }

  mlir::Operation *outermost(mlir::Operation *op) const {
    return graph.function().getFunctionBody().front().findAncestorOpInBlock(*op);
  }

  /// A loop inside one that stays stays as well: its layers could not be told apart.
  bool markIn(mlir::Block &block) {
    bool found = false;
    for (mlir::Operation &op : block) {
      llvm::StringRef reason = isWhile(&op) ? reasonFor(&op) : "";
      if (!reason.empty())
        op.setDiscardableAttr(kUnrollAttr, mlir::StringAttr::get(op.getContext(), reason));
      found |= !reason.empty();
      if (isBranch(&op) || !reason.empty())
        for (mlir::Region &region : op.getRegions())
          for (mlir::Block &inner : region)
            found |= markIn(inner);
    }
    return found;
  }

  /// Loops over examples stay: their iterations are no layers.
  llvm::StringRef reasonFor(mlir::Operation *loop) const {
    if (batch.exampleLoop(loop))
      return "";
    if (summing.contains(loop))
      return "makes more of sums over the batch than add them up";
    if (readsStackedWeights(loop))
      return "reads stacked weights";
    return all ? "all=true would unroll" : "";
  }

  /// Whether the body slices, by its counter, floating-point numbers that are the same in every
  /// iteration and belong to no example, and multiplies with what it sliced: the weights of a
  /// layer. What is only added in each step (times, positions, noise) makes no layer of it.
  bool readsStackedWeights(mlir::Operation *loop) const {
    return whileBody(loop)
        .walk([&](mlir::Operation *op) {
          bool isStack = (kindOf(op) == OpKind::DynamicSlice || kindOf(op) == OpKind::Gather) &&
                         isWeight(op->getOperand(0), loop) &&
                         llvm::any_of(op->getOperands().drop_front(),
                                      [&](mlir::Value index) {
                                        return !batch.carries(index) && followsCounter(index, loop);
                                      }) &&
                         scalesExamples(op->getResult(0));
          return isStack ? mlir::WalkResult::interrupt() : mlir::WalkResult::advance();
        })
        .wasInterrupted();
  }

  /// Casts, reshapes and the like of it do, or what is made of it and other weights. One number for
  /// all of an example (a noise level, a step size) is no weight.
  bool scalesExamples(mlir::Value slice) const {
    llvm::SetVector<mlir::Value> reached;
    reached.insert(slice);
    for (size_t i = 0; i < reached.size(); ++i) {
      auto type = llvm::dyn_cast<mlir::RankedTensorType>(reached[i].getType());
      if (!type || type.getRank() == 0)
        continue;
      for (mlir::Operation *user : reached[i].getUsers()) {
        if (isProduct(user) || elementwiseKind(user) == ReductionKind::Mul || isWhile(user) ||
            isBranch(user)) // or used within
          return true;
        for (mlir::Value value : user->getResults())
          if (!batch.carries(value))
            reached.insert(value);
      }
    }
    return false;
  }

  bool isWeight(mlir::Value value, mlir::Operation *loop) const {
    mlir::Type element = mlir::getElementTypeOrSelf(value.getType());
    return llvm::isa<mlir::FloatType, mlir::ComplexType>(element) && !batch.carries(value) &&
           isInvariant(value, loop);
  }

  /// Casts, transposes and the like of what every iteration reads are the same in every iteration.
  static bool isInvariant(mlir::Value value, mlir::Operation *loop) {
    while (mlir::Operation *op = value.getDefiningOp()) {
      if (!loop->isProperAncestor(op))
        return true;
      if (kindOf(op) == OpKind::OptimizationBarrier)
        value = op->getOperand(llvm::cast<mlir::OpResult>(value).getResultNumber());
      else if (op->getNumOperands() == 1 && op->getNumRegions() == 0)
        value = op->getOperand(0);
      else
        return false;
    }
    auto argument = llvm::cast<mlir::BlockArgument>(value);
    return argument.getOwner()->getParentOp() == loop ? isLoopInvariant(argument)
                                                      : !isWithin(argument, loop);
  }

  static bool isWithin(mlir::BlockArgument argument, mlir::Operation *loop) {
    mlir::Operation *owner = argument.getOwner()->getParentOp();
    return loop->isProperAncestor(owner);
  }

  static bool followsCounter(mlir::Value index, mlir::Operation *loop) {
    llvm::SetVector<mlir::Value> behind;
    behind.insert(index);
    for (size_t i = 0; i < behind.size(); ++i) {
      if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(behind[i])) {
        if (argument.getOwner()->getParentOp() == loop && isCounter(argument))
          return true;
      } else if (mlir::Operation *op = behind[i].getDefiningOp(); loop->isProperAncestor(op)) {
        behind.insert(op->operand_begin(), op->operand_end());
      }
    }
    return false;
  }

  const OpGraph &graph;
  const BatchDims &batch;
  bool all;
  llvm::DenseSet<mlir::Operation *> summing;
};

/// The region of a branch that runs, if a constant chooses it.
mlir::Region *chosenRegion(mlir::Operation *branch) {
  mlir::Value chooser = branch->getOperand(0);
  std::optional<llvm::APInt> value = integerElement(chooser, {});
  if (!value)
    return nullptr;
  int64_t last = branch->getNumRegions() - 1;
  if (mlir::getElementTypeOrSelf(chooser.getType()).isInteger(1)) // if: the first region is "true"
    return &branch->getRegion(value->isZero() ? last : 0);
  int64_t index = value->getSExtValue();
  return &branch->getRegion(index < 0 || index > last ? last : index);
}

/// Moves the ops of the region to where the branch was; returns the first of them, or what follows.
mlir::Operation *inlineRegion(mlir::Operation *branch, mlir::Region &region) {
  mlir::Block &block = region.front();
  mlir::Operation *terminator = &block.back();
  branch->replaceAllUsesWith(terminator->getOperands());
  terminator->erase();
  mlir::Operation *first = block.empty() ? branch->getNextNode() : &block.front();
  branch->getBlock()->getOperations().splice(branch->getIterator(), block.getOperations());
  branch->erase();
  return first;
}

/// One pass over the program in order: marked loops become their iterations, which are then
/// visited like any other ops, loops within included.
class Unroller {
public:
  explicit Unroller(int64_t maxTripCount) : maxTripCount(maxTripCount) {}

  void run(mlir::func::FuncOp function) {
    unrollIn(function.getBody().front());
    simplify.finish();
    eraseDead(function.getBody());
  }

private:
  void unrollIn(mlir::Block &block) {
    for (mlir::Operation *op = &block.front(); op;)
      op = unrollOrVisit(op);
  }

  /// Returns the op to visit next, null after the last of the block.
  mlir::Operation *unrollOrVisit(mlir::Operation *op) {
    if (std::optional<int64_t> trips = tripsOfMarked(op))
      return expand(op, *trips);
    if (!isBranch(op))
      return simplify.visit(op);
    if (mlir::Region *region = chosenRegion(op))
      return inlineRegion(op, *region);
    for (mlir::Region &region : op->getRegions())
      unrollIn(region.front());
    return op->getNextNode();
  }

  /// How often a marked loop runs; none for any other op and, after a remark, if it stays.
  std::optional<int64_t> tripsOfMarked(mlir::Operation *loop) {
    auto reason = loop->getAttrOfType<mlir::StringAttr>(kUnrollAttr);
    if (!reason)
      return std::nullopt;
    std::optional<int64_t> trips = tripCount(loop);
    if (trips && *trips <= maxTripCount)
      return trips;
    loop->walk([](mlir::Operation *op) { op->removeDiscardableAttr(kUnrollAttr); });
    auto remark = emitCodedRemark(loop->getLoc(), "loop-kept")
                  << "expected a loop that " << reason.getValue() << " to run at most "
                  << maxTripCount << " times, got ";
    if (trips)
      remark << *trips << "; it stays a loop (max-trip-count=" << *trips << " unrolls it)";
    else
      remark << "a number that is no constant; it stays a loop (lax.scan and fori_loop with "
                "constant bounds have one)";
    return std::nullopt;
  }

  /// Returns the first op that took the loop's place, or what follows.
  static mlir::Operation *expand(mlir::Operation *loop, int64_t trips) {
    mlir::Operation *before = loop->getPrevNode();
    mlir::Block &block = *loop->getBlock(), &body = whileBody(loop).front();
    mlir::OpBuilder builder(loop);
    llvm::SmallVector<mlir::Value> carried(loop->getOperands());
    for (int64_t i = 0; i < trips; ++i) {
      mlir::IRMapping mapping;
      mapping.map(body.getArguments(), carried);
      for (mlir::Operation &op : body)
        if (&op != &body.back())
          builder.clone(op, mapping)->walk([](mlir::Operation *copy) {
            copy->removeDiscardableAttr(kOpIdAttr);
          });
      for (auto [value, returned] : llvm::zip(carried, body.back().getOperands()))
        value = mapping.lookupOrDefault(returned);
    }
    loop->replaceAllUsesWith(carried);
    loop->erase();
    return before ? before->getNextNode() : &block.front();
  }

  int64_t maxTripCount;
  SimplifyUnrolled simplify;
};

struct UnrollLoops : impl::UnrollLoopsBase<UnrollLoops> {
  using UnrollLoopsBase::UnrollLoopsBase;

  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())))
      return signalPassFailure();
    mlir::FailureOr<StepAnalysis> step = StepAnalysis::of(getOperation());
    if (mlir::failed(step))
      return signalPassFailure();
    if (LoopChoice(step->graph, step->batch, all).mark())
      Unroller(maxTripCount).run(step->graph.function());
  }
};

} // namespace
} // namespace alpa
