// Exact search in integers: reduce, bound by priced message passing, block what the bound excludes,
// branch.
//
// Without memory the bound is nearly always tight, so branching splits what memory makes
// fractional: the strategies of the node whose priced memory differs most, into small and large.
#pragma once

#include "core/sharding/reductions/ReducibleProblem.h"
#include "core/sharding/search/PriceAscent.h"

#include <functional>
#include <map>
#include <optional>

namespace alpa {

class BranchAndBound {
public:
  struct Limits {
    int64_t work = INT64_MAX;         ///< table entries passed over, the measure of effort
    std::function<bool()> shouldStop; ///< asked all the time; none: never
  };

  /// Looks for answers cheaper than `cutoff`.
  BranchAndBound(const CoreProblem &core, int64_t cutoff, Limits limits);

  /// Prices by the time a row stands for, which reductions keep.
  using Prices = std::map<int64_t, double>;

  void run(const AscentSchedule &rootSchedule, const Prices &prices = {});

  /// The cheapest answer found, if any is below the first cutoff.
  const std::optional<std::vector<int32_t>> &answer() const { return best; }
  int64_t cutoff() const { return cheapest; }

  /// No answer costs less, except perhaps those that cost at least the first cutoff.
  int64_t lowerBound() const { return std::min(openBound, cheapest); }
  bool isComplete() const { return openBound >= cheapest; }
  int64_t work() const { return spent; }

private:
  void search(ReducibleProblem problem, Prices prices, int64_t bound,
              const AscentSchedule &schedule, int64_t openEntries);
  bool solveDirectly(const ReducibleProblem &problem, const CoreProblem &core);
  void ascend(const ReducibleProblem &problem, const CoreProblem &core, DualAscent &dual,
              PriceAscent &ascent, const AscentSchedule &schedule);
  void branch(const ReducibleProblem &problem, const CoreProblem &core, const DualAscent &dual,
              const Prices &prices, int64_t bound, int64_t openEntries);
  void offer(const ReducibleProblem &problem, const CoreProblem &core,
             std::vector<int32_t> choices);
  bool isExhausted() const;

  Limits limits;
  ReducibleProblem root;
  std::optional<std::vector<int32_t>> best;
  int64_t cheapest;
  int64_t openBound = INT64_MAX;
  int64_t spent = 0;
};

} // namespace alpa
