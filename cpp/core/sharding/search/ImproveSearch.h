// The half of the search that makes answers cheaper: large-neighbourhood search. All but a region
// of nodes keep their strategies, and the region is solved exactly.
//
// Where no answer is allowed yet, the same means mend one: blocked pairs go first, then memory, the
// fullest row by row.
#pragma once

#include "core/sharding/search/BranchAndBound.h"
#include "core/sharding/search/Neighbourhood.h"

namespace alpa {

class ImproveSearch {
public:
  using ShouldStop = std::function<bool()>;

  /// What the other half knows at the start of a slice.
  struct Guide {
    BranchAndBound::Prices prices;
    std::vector<double> excess; ///< by node: where the answer loses (ProofSearch::excessOf)
  };

  /// The graph must outlive this.
  ImproveSearch(const CoreGraph &graph, uint64_t seed, ShouldStop shouldStop);

  /// Improves on `choices` with about `work` steps on `numThreads` threads. `onAnswer` hears of
  /// each cheaper answer. Returns the best.
  using OnAnswer = std::function<void(const Assignment &)>;
  Assignment improve(std::vector<int32_t> choices, const Guide &guide, int64_t work,
                     int32_t numThreads, const OnAnswer &onAnswer);

  /// Makes choices allowed, or nearer to it.
  Assignment mend(std::vector<int32_t> choices, const Guide &guide, int64_t work);

  int64_t work() const { return spent; }

private:
  Region chooseRegion(const Guide &guide, int32_t kind);
  bool mendBlocked(Assignment &assignment, const Guide &guide);
  bool mendMemory(Assignment &assignment, const Guide &guide);
  bool moveTo(Assignment &assignment, const Region &region, const CoreProblem &part, int64_t limit,
              const Guide &guide);

  const CoreGraph &graph;
  ShouldStop shouldStop;
  std::mt19937_64 random;
  double regionSize = 40;
  double mendSize = 40;
  int64_t spent = 0;
};

} // namespace alpa
