// A node that has at most one allowed strategy for each strategy of a neighbour follows it: the two
// become one.

#include "core/sharding/reductions/Reduction.h"

namespace alpa {
namespace {

using Pairs = std::vector<std::pair<int32_t, int32_t>>;

class FollowerMerge final : public Reduction {
public:
  const char *name() const override { return "follower-merge"; }
  bool accepts(const ReducibleProblem &, int32_t) const override { return true; }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    for (int32_t e : problem.node(n).edges) {
      ReducibleProblem::EdgeEnd end = problem.edgeEnd(e, n);
      Pairs pairs;
      if (!follows(end, problem.node(n).numStrategies(), pairs))
        continue;
      problem.merge(end.other, n, pairs);
      return true;
    }
    return false;
  }

private:
  static bool follows(const ReducibleProblem::EdgeEnd &end, int32_t numStrategies, Pairs &pairs) {
    for (int32_t q = 0; q < end.numTheirs; ++q) {
      size_t before = pairs.size();
      for (int32_t p = 0; p < numStrategies; ++p)
        if (end.cost(p, q) < kBlocked)
          pairs.emplace_back(q, p);
      if (pairs.size() > before + 1)
        return false;
    }
    return !pairs.empty();
  }
};

} // namespace

std::unique_ptr<Reduction> makeFollowerMerge() { return std::make_unique<FollowerMerge>(); }

} // namespace alpa
