#include "core/sharding/reductions/Reduction.h"

#include <algorithm>
#include <stdexcept>

namespace alpa {
namespace {

using Reductions = std::vector<std::unique_ptr<Reduction>>;

Reductions allReductions() {
  Reductions all;
  all.push_back(makePruneForbidden());
  all.push_back(makeNormalizeCosts());
  all.push_back(makeLeafMerge());
  all.push_back(makeDominance());
  all.push_back(makeChainElimination());
  all.push_back(makeFollowerMerge());
  all.push_back(makePairDominance());
  return all;
}

Reductions namedReductions(const std::vector<std::string> &names) {
  Reductions all = allReductions(), chosen;
  if (names.empty())
    return all;
  for (const std::string &name : names) {
    auto isNamed = [&](const auto &reduction) { return reduction && reduction->name() == name; };
    auto found = std::find_if(all.begin(), all.end(), isNamed);
    if (found == all.end())
      throw std::invalid_argument("expected the name of a reduction, each once, got \"" + name +
                                  "\"");
    chosen.push_back(std::move(*found));
  }
  return chosen;
}

constexpr int64_t kBudget = 6'000'000'000;

void reduceAt(ReducibleProblem &problem, const Reductions &reductions, int32_t n, int64_t &budget) {
  for (const auto &reduction : reductions) {
    if (!reduction->accepts(problem, n))
      continue;
    const int64_t steps = reduction->numSteps(problem, n);
    if (steps > budget)
      continue;
    budget -= steps;
    if (!reduction->apply(problem, n))
      continue;
    // The cheaper ones have a new chance first; a node that is gone is never taken again.
    return problem.markDirty(n);
  }
}

void reduceWith(ReducibleProblem &problem, const Reductions &reductions) {
  int64_t budget = kBudget;
  for (int32_t n = problem.takeDirty(); n >= 0 && !problem.isInfeasible();) {
    reduceAt(problem, reductions, n, budget);
    n = problem.takeDirty();
    if (n < 0) {
      problem.compactMemory();
      n = problem.takeDirty();
    }
  }
}

} // namespace

int64_t numPairSteps(const ReducibleProblem &problem, int32_t n) {
  const int64_t count = problem.node(n).numStrategies();
  int64_t steps = 0;
  for (int32_t e : problem.node(n).edges)
    steps += static_cast<int64_t>(problem.edge(e).costs.size()) * count;
  return steps;
}

std::vector<std::string> reductionNames() {
  std::vector<std::string> names;
  for (const auto &reduction : allReductions())
    names.push_back(reduction->name());
  return names;
}

void reduce(ReducibleProblem &problem, const std::vector<std::string> &names) {
  for (int32_t n = 0; n < problem.numNodes(); ++n)
    problem.markDirty(n);
  reduceWith(problem, namedReductions(names));
}

void reduceDirty(ReducibleProblem &problem, Effort effort) {
  Reductions reductions = allReductions();
  if (effort == Effort::Quick)
    reductions.pop_back(); // pair dominance, the dearest
  reduceWith(problem, reductions);
}

} // namespace alpa
