// See the header.

#include "alpa/Analysis/BatchFactor.h"
#include <numeric>

namespace alpa {

bool operator==(const BatchFactor &a, const BatchFactor &b) {
  return a.factor == b.factor && a.size == b.size && a.minor == b.minor;
}

std::optional<BatchFactor> batchFactor(const ShardingRule &rule,
                                       const ShardingRule::TensorFactors &tensor,
                                       const BatchDim &batch) {
  const int64_t period = batch.size * batch.minor;
  int64_t minor = 1;
  for (int factor : llvm::reverse(tensor[batch.dim])) {
    const int64_t end = minor * rule.factorSizes[factor];
    if (period <= end) {
      const int64_t group = std::lcm(batch.minor, minor);
      const bool isGood =
          end % period == 0 && period % group == 0 && (period > group || batch.size == 1);
      return isGood ? std::optional(BatchFactor{factor, period / group, group / minor})
                    : std::nullopt;
    }
    minor = end;
  }
  return std::nullopt;
}

llvm::SmallVector<BatchDim, 1> batchDims(const ShardingRule &rule,
                                         const ShardingRule::TensorFactors &tensor,
                                         const BatchFactor &batch) {
  llvm::SmallVector<BatchDim, 1> found;
  for (auto [dim, factors] : llvm::enumerate(tensor)) {
    int64_t minor = 1;
    for (int factor : llvm::reverse(factors)) {
      if (factor == batch.factor)
        found.push_back({static_cast<int>(dim), batch.size, batch.minor * minor});
      minor *= rule.factorSizes[factor];
    }
  }
  return found;
}

} // namespace alpa
