// Moves what every choice pays: row and column minima of an edge into its nodes, a node's minimum
// into the constant. An edge without costs left goes. Others then see small numbers, and which
// strategies are really cheaper.

#include "core/sharding/reductions/Reduction.h"

#include <algorithm>

namespace alpa {
namespace {

class NormalizeCosts final : public Reduction {
public:
  const char *name() const override { return "normalize-costs"; }
  bool accepts(const ReducibleProblem &, int32_t) const override { return true; }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    bool hasChanged = false;
    std::vector<int32_t> edges = problem.node(n).edges; // removal below edits the list
    for (int32_t e : edges) {
      int32_t other = problem.edgeEnd(e, n).other;
      hasChanged |= moveMinima(problem, e, n);
      hasChanged |= moveMinima(problem, e, other);
      const std::vector<int64_t> &costs = problem.edgeEnd(e, n).edge.costs;
      if (std::all_of(costs.begin(), costs.end(), [](int64_t cost) { return cost == 0; })) {
        problem.removeEdge(e);
        hasChanged = true;
      }
    }
    return moveNodeMinimum(problem, n) || hasChanged;
  }

private:
  /// From each strategy of `n` at an edge to the node.
  static bool moveMinima(ReducibleProblem &problem, int32_t e, int32_t n) {
    ReducibleProblem::EdgeEnd end = problem.edgeEnd(e, n);
    ReducibleProblem::Node &node = problem.node(n);
    bool hasChanged = false;
    for (int32_t p = 0; p < node.numStrategies(); ++p) {
      int64_t least = kBlocked;
      for (int32_t q = 0; q < end.numTheirs; ++q)
        least = std::min(least, end.cost(p, q));
      if (least == 0 || least >= kBlocked)
        continue;
      for (int32_t q = 0; q < end.numTheirs; ++q)
        if (end.cost(p, q) < kBlocked)
          end.cost(p, q) -= least;
      node.costs[p] = addCosts(node.costs[p], least);
      hasChanged = true;
    }
    return hasChanged;
  }

  static bool moveNodeMinimum(ReducibleProblem &problem, int32_t n) {
    std::vector<int64_t> &costs = problem.node(n).costs;
    int64_t least = *std::min_element(costs.begin(), costs.end());
    if (least == 0 || least >= kBlocked)
      return false;
    for (int64_t &cost : costs)
      if (cost < kBlocked)
        cost -= least;
    problem.addConstantCost(least);
    return true;
  }
};

} // namespace

std::unique_ptr<Reduction> makeNormalizeCosts() { return std::make_unique<NormalizeCosts>(); }

} // namespace alpa
