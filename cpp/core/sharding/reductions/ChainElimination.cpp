// A node with two neighbours and no memory takes, for each pair of their strategies, its best: what
// remains is an edge between the neighbours.

#include "core/sharding/reductions/Reduction.h"

namespace alpa {
namespace {

/// A larger table would cost more than the node it replaces.
constexpr int64_t kMaxTableSize = 1 << 14;

class ChainElimination final : public Reduction {
public:
  const char *name() const override { return "chain-elimination"; }
  bool accepts(const ReducibleProblem &problem, int32_t n) const override {
    return problem.node(n).edges.size() == 2 && problem.node(n).segments.empty();
  }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    ReducibleProblem::EdgeEnd left = problem.edgeEnd(problem.node(n).edges[0], n);
    ReducibleProblem::EdgeEnd right = problem.edgeEnd(problem.node(n).edges[1], n);
    int64_t size = static_cast<int64_t>(left.numTheirs) * right.numTheirs;
    if (size > kMaxTableSize)
      return false;
    const std::vector<int64_t> &own = problem.node(n).costs;
    std::vector<int64_t> costs(size, kBlocked);
    std::vector<int32_t> table(size, 0);
    for (int32_t p = 0; p < static_cast<int32_t>(own.size()); ++p)
      for (int32_t l = 0; l < left.numTheirs; ++l) {
        int64_t leftCost = addCosts(own[p], left.cost(p, l));
        if (leftCost >= kBlocked)
          continue;
        for (int32_t r = 0; r < right.numTheirs; ++r) {
          int64_t cost = addCosts(leftCost, right.cost(p, r)),
                  at = static_cast<int64_t>(l) * right.numTheirs + r;
          if (cost < costs[at]) {
            costs[at] = cost;
            table[at] = p;
          }
        }
      }
    int32_t first = left.other, second = right.other;
    problem.removeNode(n, {first, second}, std::move(table));
    problem.addToEdge(first, second, std::move(costs));
    return true;
  }
};

} // namespace

std::unique_ptr<Reduction> makeChainElimination() { return std::make_unique<ChainElimination>(); }

} // namespace alpa
