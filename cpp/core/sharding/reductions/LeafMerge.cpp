// A node with one neighbour takes, for each strategy of that neighbour, its best strategy: it is
// merged into the neighbour. With memory the best must both cost least and use least, else the node
// stays. A node without neighbours takes its best strategy.

#include "core/sharding/reductions/Exchange.h"
#include "core/sharding/reductions/Reduction.h"

#include <optional>

namespace alpa {
namespace {

class LeafMerge final : public Reduction {
public:
  const char *name() const override { return "leaf-merge"; }
  bool accepts(const ReducibleProblem &problem, int32_t n) const override {
    return problem.node(n).edges.size() <= 1;
  }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    if (problem.node(n).edges.empty())
      return takeBest(problem, n);
    ReducibleProblem::EdgeEnd end = problem.edgeEnd(problem.node(n).edges[0], n);
    std::vector<std::pair<int32_t, int32_t>> pairs;
    for (int32_t q = 0; q < end.numTheirs; ++q) {
      bool isAllowed = false;
      auto cost = [&](int32_t p) { return addCosts(problem.node(n).costs[p], end.cost(p, q)); };
      std::optional<int32_t> best = bestStrategy(problem.node(n), cost, isAllowed);
      if (isAllowed && !best)
        return false;
      if (isAllowed)
        pairs.emplace_back(q, *best);
    }
    if (pairs.empty())
      problem.markInfeasible();
    else
      problem.merge(end.other, n, pairs);
    return true;
  }

private:
  /// The strategy that costs least and nowhere uses more than another allowed one.
  template <typename Cost>
  static std::optional<int32_t> bestStrategy(const ReducibleProblem::Node &node, Cost cost,
                                             bool &isAllowed) {
    int32_t best = -1;
    for (int32_t p = 0; p < node.numStrategies(); ++p) {
      if (cost(p) >= kBlocked)
        continue;
      bool isBetter =
          best < 0 || cost(p) < cost(best) || (cost(p) == cost(best) && fitsWhere(node, best, p));
      if (isBetter)
        best = p;
    }
    isAllowed = best >= 0;
    for (int32_t p = 0; p < node.numStrategies(); ++p)
      if (isAllowed && cost(p) < kBlocked && !fitsWhere(node, p, best))
        return std::nullopt;
    return best;
  }

  static bool takeBest(ReducibleProblem &problem, int32_t n) {
    const ReducibleProblem::Node &node = problem.node(n);
    bool isAllowed = false;
    std::optional<int32_t> best =
        bestStrategy(node, [&](int32_t p) { return node.costs[p]; }, isAllowed);
    if (!isAllowed)
      problem.markInfeasible();
    // Memory that this leaves is constant; the node goes once it is subtracted from the capacities.
    if (!best || !node.segments.empty())
      return false;
    problem.addConstantCost(node.costs[*best]);
    problem.removeNode(n, {}, {*best});
    return true;
  }
};

} // namespace

std::unique_ptr<Reduction> makeLeafMerge() { return std::make_unique<LeafMerge>(); }

} // namespace alpa
