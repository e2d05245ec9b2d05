// The equal blocks of a deep model: one layer each, so that what is known of one holds for all.
#pragma once

#include "OuterOps.h"
#include "core/layers/LayerProblem.h"
#include "core/layers/Repeats.h"
#include <optional>
#include <vector>

namespace alpa {

class RepeatedBlocks {
public:
  /// Of the forward ops `order`, which is theirs in the layer problem too.
  RepeatedBlocks(const OuterOps &ops, const std::vector<int> &order);

  /// A layer per block, or per few blocks of very deep models, and one for what is before and
  /// behind them where it is worth half of one; none if too few blocks repeat.
  std::optional<int32_t> numLayers() const;

  /// Lets layers start at the same op of every block, where the fewest bytes cross, and anywhere
  /// before and behind the blocks. Leaves a problem alone in which that is forbidden.
  void allowNoOtherStarts(LayerProblem &problem) const;

private:
  double flopsOf(int32_t first, int32_t end) const;
  /// Where the blocks start if the first of them does at this op of the order.
  std::vector<int32_t> startsFrom(int32_t start) const;

  std::vector<int32_t> heavy; ///< places of products and convolutions in the order
  std::vector<double> flops;  ///< theirs
  Repeats blocks;             ///< of them
};

} // namespace alpa
