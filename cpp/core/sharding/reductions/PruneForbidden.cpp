// Arc consistency: a strategy that is blocked itself, or at some edge with every strategy of the
// neighbour, goes.

#include "core/sharding/reductions/Reduction.h"

namespace alpa {
namespace {

class PruneForbidden final : public Reduction {
public:
  const char *name() const override { return "prune-forbidden"; }
  bool accepts(const ReducibleProblem &, int32_t) const override { return true; }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    std::vector<int32_t> kept;
    int32_t numStrategies = problem.node(n).numStrategies();
    for (int32_t p = 0; p < numStrategies; ++p)
      if (isAllowed(problem, n, p))
        kept.push_back(p);
    if (static_cast<int32_t>(kept.size()) == numStrategies)
      return false;
    problem.keepStrategies(n, kept);
    return true;
  }

private:
  static bool isAllowed(ReducibleProblem &problem, int32_t n, int32_t p) {
    if (problem.node(n).costs[p] >= kBlocked)
      return false;
    for (int32_t e : problem.node(n).edges)
      if (!hasPartner(problem.edgeEnd(e, n), p))
        return false;
    return true;
  }

  static bool hasPartner(const ReducibleProblem::EdgeEnd &end, int32_t p) {
    for (int32_t q = 0; q < end.numTheirs; ++q)
      if (end.cost(p, q) < kBlocked)
        return true;
    return false;
  }
};

} // namespace

std::unique_ptr<Reduction> makePruneForbidden() { return std::make_unique<PruneForbidden>(); }

} // namespace alpa
