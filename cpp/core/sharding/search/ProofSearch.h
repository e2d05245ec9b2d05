// The half of the search that raises the bound: price ascent over the whole core, answers read off
// on the way, then branch and bound below a cutoff that starts just above the bound. Either the
// bound rises to the cutoff, or an answer is found. A low cutoff excludes so much that this is far
// cheaper than one search below the answer.
#pragma once

#include "core/sharding/search/Assignment.h"
#include "core/sharding/search/BranchAndBound.h"

#include <atomic>

namespace alpa {

class ProofSearch {
public:
  using ShouldStop = std::function<bool()>;

  /// The graph must outlive this; its core must have no blocked strategies.
  ProofSearch(const CoreGraph &graph, int64_t cutoff, double stopGap, ShouldStop shouldStop);

  /// Takes its next steps, about `work` of them. `knownCost` is that of an answer from elsewhere.
  void advance(int64_t work, int64_t knownCost);

  const char *phase() const { return isProving ? "prove" : "bound"; }
  int64_t lowerBound() const { return bound; }

  /// The cheapest answer of this half, or kBlocked's worth of nothing.
  const std::optional<std::vector<int32_t>> &choices() const { return best; }
  int64_t cost() const { return bestCost; }

  /// Read off the messages last; where no answer was found yet, others may mend it.
  const std::vector<int32_t> &draft() const { return lastDecoded; }
  const BranchAndBound::Prices &prices() const { return rowPrices; }

  /// Where answers lose: by node, how much its choices cost above the bound.
  std::vector<double> excessOf(const std::vector<int32_t> &choices) const {
    return dual.excessOf(choices);
  }

  int64_t work() const { return spent; }

private:
  void ascendFreely();
  void ascend(int64_t until);
  void finishAscent();
  void offerDecoded();
  void unblock(Assignment &assignment);
  void shrink();
  void prove(int64_t until);
  void offer(const Assignment &assignment);
  void raiseBound(int64_t lowerBound);
  void refine(int64_t work);
  bool isDone() const;

  const CoreGraph &graph;
  const CoreProblem &core;
  double stopGap;
  ShouldStop shouldStop;
  DualAscent dual;
  PriceAscent ascent;
  AscentSchedule schedule;
  int32_t step = 0;
  bool isProving = false;

  std::optional<std::vector<int32_t>> best;
  std::vector<int32_t> lastDecoded;
  int64_t bestCost, cutoff;   ///< of this half's answer, and of the best of all
  std::atomic<int64_t> bound; ///< others read it at any time
  int64_t spent = 0;

  ReducibleProblem shrunk;          ///< what may still hold a cheaper answer
  DualAscent::Blocked blockedSince; ///< since `shrunk` was made
  BranchAndBound::Prices rowPrices;
  int64_t cutoffStep = 0;
};

} // namespace alpa
