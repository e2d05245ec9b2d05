// See the header.

#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "mlir/IR/BuiltinTypes.h"
#include <numeric>

namespace alpa {
namespace {

/// Of a program that rearranges more, the rest is known as a whole.
constexpr int kMaxTrials = 16;

/// Ops that put elements in other places.
bool isRearranging(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::Concatenate:
  case OpKind::DynamicSlice:
  case OpKind::Gather:
  case OpKind::Pad:
  case OpKind::Reshape:
  case OpKind::Reverse:
  case OpKind::Slice:
  case OpKind::Sort:
    return true;
  default:
    return false;
  }
}

/// Examples that the step rearranges before it reads a weight (a permutation, mirrored or shifted
/// copies) are examples again, in a dim of the result. Which dim that is can only be tried: it is a
/// good one where the examples do not meet more often for it.
class RearrangedBatch {
public:
  /// `numChunks`: so many examples, one of each chunk, count as one.
  RearrangedBatch(const OpGraph &graph, BatchDims::Given given, int64_t numChunks = 1)
      : graph(graph), known(std::move(given)), numChunks(numChunks) {}

  mlir::FailureOr<BatchDims> find() {
    mlir::FailureOr<BatchDims> start = BatchDims::compute(graph, known);
    if (mlir::failed(start))
      return mlir::failure();
    best = std::move(*start);
    Meetings meetings = Meetings::find(graph, best);
    for (std::optional<Candidate> next; numTrials < kMaxTrials && (next = nextOf(meetings));) {
      ++numTrials;
      tried.insert(next->value);
      BatchDims::Given more = known;
      more[next->value] = next->dim;
      mlir::FailureOr<BatchDims> batch = BatchDims::compute(graph, more);
      if (mlir::failed(batch))
        return mlir::failure();
      Meetings now = Meetings::find(graph, *batch);
      if (now.mixing.size() > meetings.mixing.size())
        continue;
      known = std::move(more);
      best = std::move(*batch);
      meetings = std::move(now);
    }
    return std::move(best);
  }

private:
  struct Candidate {
    mlir::Value value;
    BatchDim dim;
  };

  std::optional<Candidate> nextOf(const Meetings &meetings) const {
    for (mlir::Operation *op : meetings.before)
      for (mlir::Value value : op->getResults())
        if (isRearranging(op) && !best.carries(value) && !tried.contains(value))
          if (std::optional<BatchDim> dim = dimOf(op, value))
            return Candidate{value, *dim};
    return std::nullopt;
  }

  /// Where the operand has it, else the first dim with room for whole batches.
  std::optional<BatchDim> dimOf(mlir::Operation *op, mlir::Value value) const {
    auto type = llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
    if (!type || !type.hasStaticShape())
      return std::nullopt;
    // Parts of the batch, where there is nothing else: who reads both is divided as the smaller.
    const bool isPart = !isReadOtherwise();
    auto fits = [&](int dim) {
      const int64_t size = dim < type.getRank() ? type.getDimSize(dim) : 1;
      return size > numChunks && size % (isPart ? numChunks : numExamples() * numChunks) == 0;
    };
    std::optional<BatchDim> read = best.of(op->getOperand(0));
    for (int dim = read && fits(read->dim) ? read->dim : 0; dim < type.getRank(); ++dim)
      if (fits(dim))
        return BatchDim{dim, type.getDimSize(dim) / numChunks, 1};
    return std::nullopt;
  }

  /// Whether a product reads examples that come from no op in which they meet.
  bool isReadOtherwise() const {
    return llvm::any_of(graph.nodes(), [&](const OpNode &node) {
      return isProduct(node.op) && batchIsRead(node.op);
    });
  }

  bool batchIsRead(mlir::Operation *op) const {
    return llvm::any_of(op->getOperands(), [&](mlir::Value v) { return best.carries(v); });
  }

  int64_t numExamples() const {
    int64_t common = 0;
    for (mlir::BlockArgument argument : graph.function().getArguments())
      if (std::optional<BatchDim> dim = best.of(argument))
        common = std::gcd(common, dim->size);
    return std::max<int64_t>(common, 1);
  }

  const OpGraph &graph;
  BatchDims best;
  BatchDims::Given known;
  int64_t numChunks;
  llvm::DenseSet<mlir::Value> tried;
  int numTrials = 0;
};

} // namespace

mlir::FailureOr<BatchDims> batchInChunks(const OpGraph &graph, const BatchDims &batch,
                                         int64_t numChunks) {
  BatchDims::Given given;
  for (mlir::BlockArgument argument : graph.function().getArguments())
    if (std::optional<BatchDim> dim = batch.of(argument); dim && dim->size % numChunks == 0)
      given[argument] = {dim->dim, dim->size / numChunks, 1};
  return RearrangedBatch(graph, std::move(given), numChunks).find();
}

namespace {

/// The batch counted in chunks such that `numMicrobatches` divide it, or fewer examples meet; none
/// where that helps nothing. Fails with a diagnostic.
mlir::FailureOr<std::optional<BatchDims>> inChunks(const OpGraph &graph, const BatchDims &batch,
                                                   int64_t numMicrobatches) {
  const TrainingPhases training = trainingPhases(graph, batch);
  const bool isDivided = training.numExamples % numMicrobatches == 0;
  const size_t numMixing = training.meetings.mixing.size();
  if (isDivided && numMixing == 0)
    return std::optional<BatchDims>();
  for (int64_t numChunks : batch.groupings()) {
    mlir::FailureOr<BatchDims> other = batchInChunks(graph, batch, numChunks);
    if (mlir::failed(other))
      return mlir::failure();
    const TrainingPhases found = trainingPhases(graph, *other);
    if (found.numExamples > 0 && found.numExamples % numMicrobatches == 0 &&
        found.meetings.mixing.size() < numMixing + (isDivided ? 0 : 1))
      return std::optional(std::move(*other));
  }
  return std::optional<BatchDims>();
}

} // namespace

mlir::FailureOr<StepAnalysis> StepAnalysis::of(mlir::ModuleOp module, int64_t numMicrobatches) {
  mlir::FailureOr<OpGraph> graph = OpGraph::build(module);
  if (mlir::failed(graph))
    return mlir::failure();
  mlir::FailureOr<BatchDims> batch = RearrangedBatch(*graph, BatchDims::Given()).find();
  if (mlir::failed(batch))
    return mlir::failure();
  if (numMicrobatches > 1) {
    mlir::FailureOr<std::optional<BatchDims>> other = inChunks(*graph, *batch, numMicrobatches);
    if (mlir::failed(other))
      return mlir::failure();
    if (*other)
      batch = std::move(**other);
  }
  return StepAnalysis{std::move(*graph), std::move(*batch)};
}

} // namespace alpa
