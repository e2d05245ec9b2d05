// Through sharding rules, and where those are silent, through what concatenates, takes apart and
// interleaves whole batches.

#include "alpa/Analysis/BatchFlow.h"
#include "alpa/Analysis/BatchFactor.h"
#include "alpa/IR/OpRules.h"
#include "mlir/IR/BuiltinTypes.h"
#include <numeric>

namespace alpa {
namespace {

using OperandDims = llvm::ArrayRef<std::optional<BatchDim>>;

/// 0 where there is no such dim.
int64_t dimSize(mlir::Value value, int dim) {
  auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && dim < type.getRank() ? type.getDimSize(dim) : 0;
}

BatchFlow endingIn(size_t numOperands, BatchEnd end) {
  BatchFlow flow;
  flow.reads.resize(numOperands);
  flow.end = end;
  return flow;
}

/// One operand counts examples in `from`, the only result in `to`.
BatchFlow unary(mlir::Operation *op, const BatchDim &from, const BatchDim &to) {
  BatchFlow flow;
  flow.reads.resize(op->getNumOperands());
  flow.reads[0] = from;
  flow.results.push_back({0, to});
  return flow;
}

/// Result i is operand i: what stands side by side does not meet.
BatchFlow barrierFlow(OperandDims operands) {
  BatchFlow flow;
  flow.reads.assign(operands.begin(), operands.end());
  for (auto [i, dim] : llvm::enumerate(operands))
    if (dim)
      flow.results.push_back({i, *dim});
  return flow;
}

/// Views of a batch one after another: each has whole periods.
BatchFlow concatenateFlow(mlir::Operation *op, OperandDims operands, int along) {
  const size_t count = op->getNumOperands();
  std::optional<BatchDim> common;
  for (const std::optional<BatchDim> &dim : operands)
    if (dim) {
      common = dim->dim == along ? common ? coarser(*common, *dim) : dim : std::nullopt;
      if (!common)
        return endingIn(count, BatchEnd::Mixed);
    }
  for (mlir::Value operand : op->getOperands())
    if (dimSize(operand, along) == 0 || !isWholePeriods(*common, 0, dimSize(operand, along)))
      return endingIn(count, BatchEnd::Mixed);
  BatchFlow flow;
  flow.reads.assign(count, common);
  flow.results.push_back({0, *common});
  return flow;
}

/// Of every `stride` elements one is left.
std::optional<BatchDim> thinned(const BatchDim &batch, int64_t stride) {
  const int64_t period = batch.size * batch.minor;
  if (batch.minor % stride == 0)
    return BatchDim{batch.dim, batch.size, batch.minor / stride};
  if (stride % batch.minor == 0 && period % stride == 0 && period > stride)
    return BatchDim{batch.dim, period / stride, 1};
  return std::nullopt;
}

/// Some of several views, or one of every few examples (so that as many count as one). None where
/// the slice leaves the batch dim alone.
std::optional<BatchFlow> sliceFlow(mlir::Operation *op, const BatchDim &batch) {
  mlir::FailureOr<SliceDims> slice = sliceDims(op);
  if (mlir::failed(slice) || slice->starts.size() <= static_cast<size_t>(batch.dim))
    return std::nullopt;
  const int64_t start = slice->starts[batch.dim], limit = slice->limits[batch.dim],
                stride = slice->strides[batch.dim];
  if (stride == 1 && isWholePeriods(batch, start, limit))
    return unary(op, batch, batch);
  const int64_t size = dimSize(op->getOperand(0), batch.dim);
  if (stride > 0 && start < stride && dimSize(op->getResult(0), batch.dim) * stride == size)
    if (std::optional<BatchDim> left = thinned(batch, stride))
      return unary(op, batch, *left);
  return endingIn(1, BatchEnd::Mixed);
}

/// The transpose of a slice: zeros for the other views, or between the elements.
std::optional<BatchFlow> padFlow(mlir::Operation *op, const BatchDim &batch) {
  mlir::FailureOr<PadDims> pad = padDims(op);
  if (mlir::failed(pad) || pad->low.size() <= static_cast<size_t>(batch.dim))
    return std::nullopt;
  const int64_t low = pad->low[batch.dim], high = pad->high[batch.dim],
                stride = pad->interior[batch.dim] + 1;
  if (low >= 0 && high >= 0 && stride == 1 && isWholePeriods(batch, low, low) &&
      isWholePeriods(batch, high, high))
    return unary(op, batch, batch);
  if (stride > 0 && low >= 0 && low < stride && high == stride - 1 - low)
    return unary(op, batch, {batch.dim, batch.size, batch.minor * stride});
  return endingIn(2, BatchEnd::Mixed);
}

/// Examples are right-hand sides, solved one by one.
std::optional<BatchFlow> solveFlow(mlir::Operation *op, OperandDims operands) {
  std::optional<int> dim = rightHandSideDim(op);
  if (!dim || operands[0] || !operands[1] || operands[1]->dim != *dim)
    return std::nullopt;
  BatchFlow flow;
  flow.reads = {std::nullopt, operands[1]};
  flow.results.push_back({0, *operands[1]});
  return flow;
}

/// What rules do not say: none where the rule does.
std::optional<BatchFlow> flowOfParts(mlir::Operation *op, OperandDims operands) {
  if (kindOf(op) == OpKind::OptimizationBarrier && op->getNumResults() == op->getNumOperands())
    return barrierFlow(operands);
  if (op->getNumResults() != 1)
    return std::nullopt;
  switch (kindOf(op)) {
  case OpKind::Concatenate: {
    mlir::FailureOr<int64_t> along = concatenateDim(op);
    auto isAlong = [&](const std::optional<BatchDim> &dim) { return dim && dim->dim == *along; };
    if (mlir::failed(along) || llvm::none_of(operands, isAlong))
      return std::nullopt;
    return concatenateFlow(op, operands, static_cast<int>(*along));
  }
  case OpKind::CustomCall:
  case OpKind::TriangularSolve:
    return solveFlow(op, operands);
  case OpKind::Slice:
    return operands[0] ? sliceFlow(op, *operands[0]) : std::nullopt;
  case OpKind::Pad:
    return operands.size() == 2 && operands[0] && !operands[1] ? padFlow(op, *operands[0])
                                                               : std::nullopt;
  default:
    return std::nullopt;
  }
}

class RuleFlow {
public:
  RuleFlow(const ShardingRule &rule, OperandDims operands) : rule(rule), operands(operands) {
    flow.reads.resize(operands.size());
  }

  BatchFlow run() {
    for (auto [dims, batch] : llvm::zip(rule.operands, operands))
      if (batch)
        add(batchFactor(rule, dims, *batch));
    for (const BatchFactor &factor : factors)
      apply(factor);
    // Two batches meet in one op: a product of the batch with itself.
    if (factors.size() > 1)
      flow.end = BatchEnd::Mixed;
    return std::move(flow);
  }

private:
  void add(const std::optional<BatchFactor> &found) {
    if (!found) {
      flow.end = BatchEnd::Unknown;
      return;
    }
    for (BatchFactor &factor : factors)
      if (factor.factor == found->factor)
        if (auto common = coarser({0, factor.size, factor.minor}, {0, found->size, found->minor})) {
          factor = {factor.factor, common->size, common->minor};
          return;
        }
    factors.push_back(*found);
  }

  /// The results' dims that have the factor count examples; where there is none, or where the
  /// factor may not be split, the batch ends.
  void apply(const BatchFactor &factor) {
    for (auto [dims, reads] : llvm::zip(rule.operands, flow.reads))
      if (auto found = batchDims(rule, dims, factor); !found.empty() && !reads)
        reads = found.front();
    const FactorKind kind = rule.factorKinds[factor.factor];
    if (kind != FactorKind::PassThrough) {
      flow.end = kind == FactorKind::Reduction ? BatchEnd::Reduced : BatchEnd::Mixed;
      return;
    }
    for (auto [number, dims] : llvm::enumerate(rule.results))
      for (const BatchDim &dim : batchDims(rule, dims, factor))
        flow.results.push_back({number, dim});
  }

  const ShardingRule &rule;
  OperandDims operands;
  llvm::SmallVector<BatchFactor, 2> factors;
  BatchFlow flow;
};

} // namespace

std::optional<BatchDim> coarser(const BatchDim &a, const BatchDim &b) {
  const int64_t period = a.size * a.minor, size = std::gcd(a.size, b.size);
  if (a.dim != b.dim || period != b.size * b.minor || (size == 1 && a.size != 1))
    return std::nullopt;
  return BatchDim{a.dim, size, period / size};
}

bool isWholePeriods(const BatchDim &batch, int64_t start, int64_t limit) {
  const int64_t period = batch.size * batch.minor;
  return start % period == 0 && limit % period == 0;
}

mlir::FailureOr<BatchFlow> batchFlow(mlir::Operation *op, OperandDims operands) {
  if (llvm::none_of(operands, [](const auto &dim) { return dim.has_value(); })) {
    BatchFlow flow;
    flow.reads.resize(operands.size());
    return flow;
  }
  if (std::optional<BatchFlow> flow = flowOfParts(op, operands))
    return std::move(*flow);
  if (!hasRule(op))
    return endingIn(operands.size(), BatchEnd::Unknown);
  mlir::FailureOr<ShardingRule> rule = ruleFor(op);
  if (mlir::failed(rule))
    return mlir::failure();
  return RuleFlow(*rule, operands).run();
}

} // namespace alpa
