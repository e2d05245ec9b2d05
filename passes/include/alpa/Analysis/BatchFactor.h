// The factor of an op's sharding rule that counts examples: how a batch dim passes from tensor to
// tensor of one op.
#pragma once

#include "alpa/Analysis/BatchDims.h"
#include "alpa/IR/ShardyText.h"

namespace alpa {

/// Index k of the factor belongs to example (k / minor) % size: the factor of a product of
/// flattened tokens counts examples times positions.
struct BatchFactor {
  int factor;
  int64_t size, minor;
};
bool operator==(const BatchFactor &, const BatchFactor &);

/// The factor within which `batch`, a dim of a tensor with these factors, counts the examples.
/// Where several do, the major one counts groups of examples (8 examples as 4 times 2: 4 pairs).
/// None if that leaves a single group.
std::optional<BatchFactor> batchFactor(const ShardingRule &rule,
                                       const ShardingRule::TensorFactors &tensor,
                                       const BatchDim &batch);

/// The dims of a tensor that count examples by this factor.
llvm::SmallVector<BatchDim, 1> batchDims(const ShardingRule &rule,
                                         const ShardingRule::TensorFactors &tensor,
                                         const BatchFactor &batch);

} // namespace alpa
