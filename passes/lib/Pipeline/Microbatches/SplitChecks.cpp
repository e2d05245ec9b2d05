// See the header.

#include "SplitChecks.h"
#include "alpa/IR/StablehloBuilder.h"

namespace alpa {
namespace {

/// Divisors of the batch are listed up to this one.
constexpr int64_t kMaxListed = 1024;

/// Why a step cannot be split, as errors.
class SplitChecks {
public:
  SplitChecks(const OpGraph &graph, const BatchDims &batch, const TrainingPhases &training)
      : graph(graph), batch(batch), training(training) {}

  llvm::LogicalResult run(int64_t numMicrobatches, bool allowLocalStatistics) {
    bool isGood = checkEffects();
    if (numMicrobatches == 1)
      return mlir::success(isGood); // nothing meets that would not meet anyway
    isGood &= checkBatchSize(numMicrobatches);
    for (const MixingOp &mixing : training.meetings.mixing)
      if (!mixing.isSum || !allowLocalStatistics) {
        auto error = mixing.op->emitError("expected examples apart until they are summed, got '")
                     << mixing.op->getName() << "', in which they meet: " << mixing.reason
                     << "; with microbatches the result would be another";
        if (mixing.decided) {
          error << "; decide from the batch alone, or example by example (jnp.where, jax.vmap), or "
                   "take one microbatch";
          error.attachNote(mixing.decided->getLoc()) << "decided here";
        }
        if (mixing.isSum)
          error << " (allow-local-statistics=true: each microbatch uses its own)";
        isGood = false;
      }
    for (const FrontierValue &frontier : training.frontier)
      isGood &= checkFrontier(frontier);
    isGood &= checkResultsPerExample();
    return mlir::success(isGood);
  }

private:
  /// What reads examples would run once per microbatch, or not at all: nothing waits for it.
  bool checkEffects() const {
    bool isGood = true;
    for (const OpNode &node : graph.nodes())
      if (!isWhile(node.op) && !isBranch(node.op) && !isRemovable(node.op) &&
          batch.touches(node.op)) {
        node.op->emitError("expected no effects on examples in a pipeline, got one of '")
            << node.op->getName()
            << "' (a print, a callback or the like): report what the step returns instead, or run "
               "it as one program (ShardParallel)";
        isGood = false;
      }
    return isGood;
  }

  bool checkBatchSize(int64_t numMicrobatches) {
    const int64_t common = training.numExamples;
    if (common == 0) {
      graph.function().emitError("expected a batch argument (alpa.batch), got none");
      return false;
    }
    if (numMicrobatches > 0 && common % numMicrobatches == 0)
      return true;
    auto error = graph.function().emitError("expected a number of microbatches that divides the ")
                 << common << " examples of the batch, one of ";
    llvm::SmallVector<int64_t> divisors;
    for (int64_t divisor = 1; divisor <= std::min(common, kMaxListed); ++divisor)
      if (common % divisor == 0)
        divisors.push_back(divisor);
    llvm::interleaveComma(divisors, error);
    if (common > kMaxListed)
      error << ", ...";
    error << "; got " << numMicrobatches;
    return false;
  }

  /// They are gathered in a buffer of zeros.
  bool checkResultsPerExample() {
    for (auto [i, value] : llvm::enumerate(graph.function().getBody().front().back().getOperands()))
      if (mlir::Type element = mlir::getElementTypeOrSelf(value.getType());
          batch.carries(value) && !identityElement(additionOf(element), element)) {
        graph.function().emitError("expected a value per example of integers or floating-point "
                                   "numbers, got ")
            << value.getType() << " as result " << i;
        return false;
      }
    return true;
  }

  static bool checkFrontier(const FrontierValue &frontier) {
    mlir::Operation *op = frontier.value.getDefiningOp();
    if (op && !frontier.isJoined && frontier.combine == ReductionKind::None) {
      op->emitError("expected sums over examples that add up over microbatches, got one of '")
          << op->getName()
          << "', which does more with them than add, scale and move them; move that behind it, or "
             "take one microbatch";
      return false;
    }
    mlir::Type element = mlir::getElementTypeOrSelf(frontier.value.getType());
    mlir::Attribute identity = identityElement(frontier.combine, element);
    if (!identity) {
      mlir::emitError(frontier.value.getLoc())
          << "expected numbers to combine over microbatches, got " << frontier.value.getType();
      return false;
    }
    return true;
  }

  const OpGraph &graph;
  const BatchDims &batch;
  const TrainingPhases &training;
};

} // namespace

llvm::LogicalResult checkSplittable(const OpGraph &graph, const BatchDims &batch,
                                    const TrainingPhases &training, int64_t numMicrobatches,
                                    bool allowLocalStatistics) {
  return SplitChecks(graph, batch, training).run(numMicrobatches, allowLocalStatistics);
}

} // namespace alpa
