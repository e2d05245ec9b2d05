// Dominance (dead-end elimination, Goldstein 1994): a strategy goes if another one of the same node
// costs no more whatever the neighbours choose, and uses no more memory at any time.

#include "core/sharding/reductions/Exchange.h"
#include "core/sharding/reductions/Reduction.h"

namespace alpa {
namespace {

class Dominance final : public Reduction {
public:
  const char *name() const override { return "dominance"; }
  bool accepts(const ReducibleProblem &problem, int32_t n) const override {
    return problem.node(n).numStrategies() > 1;
  }

  int64_t numSteps(const ReducibleProblem &problem, int32_t n) const override {
    return numPairSteps(problem, n);
  }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    int32_t numStrategies = problem.node(n).numStrategies();
    std::vector<bool> isKept(numStrategies, true);
    std::vector<int32_t> kept;
    for (int32_t p = 0; p < numStrategies; ++p) {
      // Only what is still kept may dominate, so of two equal strategies one stays.
      for (int32_t other = 0; other < numStrategies && isKept[p]; ++other)
        if (other != p && isKept[other] && dominates(problem, n, other, p))
          isKept[p] = false;
      if (isKept[p])
        kept.push_back(p);
    }
    if (static_cast<int32_t>(kept.size()) == numStrategies)
      return false;
    problem.keepStrategies(n, kept);
    return true;
  }

private:
  static bool dominates(ReducibleProblem &problem, int32_t n, int32_t better, int32_t worse) {
    const ReducibleProblem::Node &node = problem.node(n);
    if (!fitsWhere(node, worse, better))
      return false;
    int64_t exchange = node.costs[better] - node.costs[worse];
    if (isHopeless(problem, n, better, worse, exchange))
      return false;
    for (int32_t e : node.edges) {
      int64_t most = exchangeCost(problem.edgeEnd(e, n), worse, better);
      if (most >= kImpossible)
        return false;
      exchange += most;
    }
    return exchange <= 0;
  }

  /// Whether one choice of the neighbours shows that it does not: much is settled by it alone.
  static bool isHopeless(ReducibleProblem &problem, int32_t n, int32_t better, int32_t worse,
                         int64_t exchange) {
    for (int32_t e : problem.node(n).edges) {
      ReducibleProblem::EdgeEnd end = problem.edgeEnd(e, n);
      const int32_t q = worse % end.numTheirs; // where it is likely to be good
      if (end.cost(worse, q) >= kBlocked)
        return false;
      if (end.cost(better, q) >= kBlocked)
        return true;
      exchange += end.cost(better, q) - end.cost(worse, q);
    }
    return exchange > 0;
  }
};

} // namespace

std::unique_ptr<Reduction> makeDominance() { return std::make_unique<Dominance>(); }

} // namespace alpa
