// What it costs at most to exchange one strategy of a node for another, whatever the neighbours do:
// the test behind dominance (Goldstein 1994) and its conditional form.
#pragma once

#include "core/sharding/reductions/ReducibleProblem.h"

namespace alpa {

/// Above every possible exchange: the new strategy may be blocked where the old one is not.
inline constexpr int64_t kImpossible = kBlocked;

/// The most an exchange of `from` for `to` can add to the cost of one edge.
int64_t exchangeCost(const ReducibleProblem::EdgeEnd &end, int32_t from, int32_t to);

/// `exchangeCost` for all pairs of strategies at one end of an edge: from rows that lie one behind
/// another, and without a look at pairs where the new strategy is blocked and the old one is not.
class ManyExchanges {
public:
  /// The end of the edge at a node of `numStrategies`.
  void take(const ReducibleProblem::EdgeEnd &end, int32_t numStrategies);

  int64_t cost(int64_t from, int64_t to) const;

private:
  int64_t numTheirs = 0, numWords = 0;
  std::vector<int64_t> costs;      ///< by own strategy, then theirs
  std::vector<int64_t> lost;       ///< the same as what is given up: where blocked, for anything
  std::vector<uint64_t> isAllowed; ///< a bit for each of theirs, in words
};

/// Whether `to` uses no more memory than `from` at any time.
bool fitsWhere(const ReducibleProblem::Node &node, int32_t from, int32_t to);

} // namespace alpa
