// Follows the batch dim through the program; see the header.

#include "alpa/Analysis/BatchDims.h"
#include "alpa/Analysis/BatchFlow.h"
#include "alpa/Analysis/Dependence.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/BuiltinTypes.h"
#include <tuple>

namespace alpa {

bool operator==(const BatchDim &a, const BatchDim &b) {
  return std::tie(a.dim, a.size, a.minor) == std::tie(b.dim, b.size, b.minor);
}

/// One walk over the program in order; loops are walked again while they carry more than before.
class BatchFollower {
public:
  BatchFollower(const OpGraph &graph, const BatchDims::Given &given, BatchDims &result)
      : graph(graph), given(given), result(result) {}

  llvm::LogicalResult run() {
    mlir::func::FuncOp function = graph.function();
    for (mlir::BlockArgument argument : function.getArguments())
      if (mlir::Attribute attr = function.getArgAttr(argument.getArgNumber(), kBatchAttr)) {
        const int64_t dim = integerOf(attr).value_or(0);
        auto type = llvm::dyn_cast<mlir::RankedTensorType>(argument.getType());
        if (!type || dim < 0 || dim >= type.getRank() || type.getDimSize(dim) < 1)
          return function.emitError("expected a tensor with a static dim ")
                 << dim << " of at least one example as batch argument " << argument.getArgNumber()
                 << ", got " << argument.getType();
        auto found = given.find(argument);
        result.dims[argument] = found == given.end()
                                    ? BatchDim{static_cast<int>(dim), type.getDimSize(dim), 1}
                                    : found->second;
      }
    if (mlir::failed(follow(function.getBody().front())))
      return mlir::failure();
    for (const OpNode &node : graph.nodes())
      if (auto end = ends.find(node.op); end != ends.end())
        result.allEnds.push_back({node.op, end->second});
    result.endKinds = std::move(ends);
    return mlir::success();
  }

private:
  llvm::LogicalResult follow(mlir::Block &block) {
    for (mlir::Operation &op : block) {
      if (graph.indexOf(&op) < 0)
        continue;
      if (mlir::failed(isWhile(&op)    ? followLoop(&op)
                       : isBranch(&op) ? followBranch(&op)
                                       : followOp(&op)))
        return mlir::failure();
      for (mlir::Value value : op.getResults())
        if (auto found = given.find(value); found != given.end())
          set(value, found->second, &op);
    }
    return mlir::success();
  }

  // --- Loops and branches ---

  /// Carried values gain batch dims and never lose them, and dims only become coarser, so this
  /// ends; in practice after two rounds.
  llvm::LogicalResult followLoop(mlir::Operation *op) {
    if (isExampleLoop(op))
      return mlir::success();
    mlir::Block &body = whileBody(op).front();
    carry(op, op->getOperands());
    do
      if (mlir::failed(follow(body)))
        return mlir::failure();
    while (carry(op, body.back().getOperands()));
    return follow(whileCondition(op).front());
  }

  bool carry(mlir::Operation *op, mlir::ValueRange from) {
    bool changed = false;
    for (auto [i, value] : llvm::enumerate(from))
      if (std::optional<BatchDim> dim = result.of(value))
        changed |= setCarried(op, i, *dim);
    return changed;
  }

  bool setCarried(mlir::Operation *op, size_t i, const BatchDim &dim) {
    set(whileCondition(op).getArgument(i), dim, op);
    set(op->getResult(i), dim, op);
    return set(whileBody(op).getArgument(i), dim, op);
  }

  /// Then everything is known of it.
  bool isExampleLoop(mlir::Operation *op) {
    llvm::SmallVector<std::optional<int>> batchDims;
    for (mlir::Value operand : op->getOperands()) {
      std::optional<BatchDim> dim = result.of(operand);
      batchDims.push_back(dim ? std::optional(dim->dim) : std::nullopt);
    }
    auto carries = [this](mlir::Value value) { return result.carries(value); };
    std::optional<ExampleLoop> loop = exampleLoop(op, batchDims, carries);
    std::optional<BatchDim> examples;
    for (mlir::Value operand : op->getOperands())
      if (std::optional<BatchDim> dim = result.of(operand); dim && loop) {
        BatchDim counted = {0, dim->size, dim->minor};
        examples = examples ? coarser(*examples, counted) : std::optional(counted);
        if (!examples || loop->numIterations % (examples->size * examples->minor) != 0)
          return false;
      }
    if (!loop)
      return false;
    loop->period = examples->size * examples->minor;
    for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
      if (std::optional<BatchDim> dim = result.of(operand))
        setCarried(op, i, *dim);
      if (loop->carried[i] == ExampleLoop::Carried::Written) {
        const BatchDim dim = {loop->writtenDims[i], examples->size, examples->minor};
        setCarried(op, i, dim);
        set(nextValue(op, i), dim, op);
      }
      if (loop->carried[i] == ExampleLoop::Carried::Sum)
        ends[op] = BatchEnd::Reduced;
    }
    findOneExample(op, *loop);
    result.exampleLoops[op] = std::move(*loop);
    return true;
  }

  /// What the body makes of the example at hand.
  void findOneExample(mlir::Operation *op, const ExampleLoop &loop) {
    mlir::Block &body = whileBody(op).front();
    llvm::SmallVector<mlir::Value> read;
    for (auto [access, where] : loop.accesses)
      if (kindOf(access) == OpKind::DynamicSlice)
        read.push_back(access->getResult(0));
    llvm::DenseSet<mlir::Value> found = dependentsIn(body, read);
    for (auto [i, kind] : llvm::enumerate(loop.carried))
      if (kind == ExampleLoop::Carried::Sum || kind == ExampleLoop::Carried::Written)
        found.erase(body.back().getOperand(i));
    result.ofOneExample.insert(found.begin(), found.end());
  }

  llvm::LogicalResult followBranch(mlir::Operation *op) {
    for (mlir::Region &region : op->getRegions())
      for (mlir::Block &block : region) {
        if (mlir::failed(follow(block)))
          return mlir::failure();
        for (auto [value, returned] : llvm::zip(op->getResults(), block.back().getOperands()))
          if (std::optional<BatchDim> dim = result.of(returned))
            set(value, *dim, op);
      }
    if (result.carries(op->getOperand(0)))
      ends[op] = BatchEnd::Mixed;
    return mlir::success();
  }

  // --- Other ops ---

  llvm::LogicalResult followOp(mlir::Operation *op) {
    llvm::SmallVector<std::optional<BatchDim>> operands;
    for (mlir::Value operand : op->getOperands())
      operands.push_back(result.of(operand));
    mlir::FailureOr<BatchFlow> flow = batchFlow(op, operands);
    if (mlir::failed(flow))
      return mlir::failure();
    if (flow->end)
      ends[op] = *flow->end;
    for (const auto &[number, dim] : flow->results)
      set(op->getResult(number), dim, op);
    for (auto [operand, read] : llvm::zip(operands, flow->reads))
      if (operand && read && read->size < operand->size)
        result.allGroupings.insert(read->size);
    result.reads[op] = std::move(flow->reads);
    return mlir::success();
  }

  /// True if `value` had no batch dim yet, or a finer one. One that has another keeps it.
  bool set(mlir::Value value, BatchDim dim, mlir::Operation *op) {
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
    if (!type || dim.dim >= type.getRank())
      return false; // a loop that carries a value of another type into its body than out of it
    auto [entry, isNew] = result.dims.try_emplace(value, dim);
    if (isNew || entry->second == dim)
      return isNew;
    std::optional<BatchDim> common = coarser(entry->second, dim);
    if (!common)
      ends[op] = BatchEnd::Mixed;
    bool changes = common && !(*common == entry->second);
    if (changes)
      entry->second = *common;
    return changes;
  }

  const OpGraph &graph;
  const BatchDims::Given &given;
  BatchDims &result;
  llvm::DenseMap<mlir::Operation *, BatchEnd> ends;
};

mlir::FailureOr<BatchDims> BatchDims::compute(const OpGraph &graph, const Given &given) {
  BatchDims result;
  if (mlir::failed(BatchFollower(graph, given, result).run()))
    return mlir::failure();
  return result;
}

std::optional<BatchDim> BatchDims::read(mlir::Operation *op, unsigned operand) const {
  auto found = reads.find(op);
  return found == reads.end() ? std::nullopt : found->second[operand];
}

const ExampleLoop *BatchDims::exampleLoop(mlir::Operation *whileOp) const {
  auto found = exampleLoops.find(whileOp);
  return found == exampleLoops.end() ? nullptr : &found->second;
}

std::optional<BatchDim> BatchDims::of(mlir::Value value) const {
  auto found = dims.find(value);
  return found == dims.end() ? std::nullopt : std::optional<BatchDim>(found->second);
}

bool BatchDims::anyResultCarries(mlir::Operation *op) const {
  return llvm::any_of(op->getResults(), [this](mlir::Value value) { return carries(value); });
}

std::optional<BatchEnd> BatchDims::endAt(mlir::Operation *op) const {
  auto found = endKinds.find(op);
  return found == endKinds.end() ? std::nullopt : std::optional<BatchEnd>(found->second);
}

bool BatchDims::touches(mlir::Operation *op) const {
  auto carriesBatch = [this](mlir::Value value) { return carries(value); };
  return op
      ->walk([&](mlir::Operation *inner) {
        bool isTouched = llvm::any_of(inner->getOperands(), carriesBatch) ||
                         llvm::any_of(inner->getResults(), carriesBatch);
        return isTouched ? mlir::WalkResult::interrupt() : mlir::WalkResult::advance();
      })
      .wasInterrupted();
}

} // namespace alpa
