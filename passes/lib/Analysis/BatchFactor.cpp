// See the header.

#include "alpa/Analysis/BatchFactor.h"

namespace alpa {

bool operator==(const BatchFactor &a, const BatchFactor &b) {
  return a.factor == b.factor && a.size == b.size && a.minor == b.minor;
}

std::optional<BatchFactor> batchFactor(const ShardingRule &rule,
                                       const ShardingRule::TensorFactors &tensor,
                                       const BatchDim &batch) {
  int64_t minor = 1;
  for (int factor : llvm::reverse(tensor[batch.dim])) {
    int64_t end = minor * rule.factorSizes[factor];
    if (minor <= batch.minor && batch.minor * batch.size <= end && batch.minor % minor == 0)
      return BatchFactor{factor, batch.size, batch.minor / minor};
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
