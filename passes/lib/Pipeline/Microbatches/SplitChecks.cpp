// See the header.

#include "SplitChecks.h"
#include "alpa/IR/StablehloBuilder.h"
#include <numeric>

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
    bool isGood = checkBatchSize(numMicrobatches);
    for (const MixingOp &mixing : training.mixing)
      if (!mixing.isSum || !allowLocalStatistics) {
        auto error = mixing.op->emitError("expected examples apart until they are summed, got '")
                     << mixing.op->getName() << "', in which they meet: " << mixing.reason
                     << "; with microbatches the result would be another";
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
  bool checkBatchSize(int64_t numMicrobatches) {
    int64_t common = 0;
    for (auto [number, role] : llvm::enumerate(training.roles))
      if (role == ArgumentRole::Batch)
        common = std::gcd(common, batch.of(graph.function().getArgument(number))->size);
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
          batch.carries(value) && !identityElement(ReductionKind::Add, element)) {
        graph.function().emitError("expected a value per example of integers or floating-point "
                                   "numbers, got ")
            << value.getType() << " as result " << i;
        return false;
      }
    return true;
  }

  static bool checkFrontier(const FrontierValue &frontier) {
    mlir::Operation *op = frontier.value.getDefiningOp();
    if (isWhile(op) || isBranch(op)) {
      op->emitError("expected sums over examples outside of loops, got one in '")
          << op->getName() << "'; unroll the loop over layers";
      return false;
    }
    mlir::Type element = mlir::getElementTypeOrSelf(frontier.value.getType());
    mlir::Attribute identity = identityElement(frontier.combine, element);
    if (!identity) {
      op->emitError("expected a sum of integers or floating-point numbers, got ")
          << frontier.value.getType();
      return false;
    }
    OpKind kind = kindOf(op);
    if (kind != OpKind::Reduce && kind != OpKind::Scatter)
      return true;
    mlir::Attribute start = splatElement(op->getOperand(kind == OpKind::Reduce ? 1 : 0));
    if (start == identity)
      return true;
    op->emitError("expected '") << op->getName() << "' to start from " << identity
                                << ", which no number of microbatches counts twice";
    return false;
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
