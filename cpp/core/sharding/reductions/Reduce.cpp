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

/// Applies reductions to dirty nodes. Where none of the cheap ones does anything any more, the dear
/// ones have their turn: by then there are fewer nodes, with fewer strategies.
class Reducer {
public:
  Reducer(ReducibleProblem &problem, const Reductions &reductions)
      : problem(problem), isWaiting(problem.numNodes()) {
    for (const auto &reduction : reductions)
      (reduction->isDear() ? dear : cheap).push_back(reduction.get());
  }

  void run() {
    for (int32_t n = next(); n >= 0 && !problem.isInfeasible(); n = next()) {
      if (apply(cheap, n) || isWaiting[n])
        continue;
      isWaiting[n] = true;
      waiting.push_back(n);
    }
  }

private:
  /// Applies the first that does something. Then those before it have a new chance; a node that is
  /// gone is never taken again.
  bool apply(const std::vector<Reduction *> &reductions, int32_t n) {
    for (Reduction *reduction : reductions) {
      if (!reduction->accepts(problem, n))
        continue;
      const int64_t steps = reduction->numSteps(problem, n);
      if (steps > budget)
        continue;
      budget -= steps;
      if (!reduction->apply(problem, n))
        continue;
      problem.markDirty(n);
      return true;
    }
    return false;
  }

  /// A node for the cheap ones; -1 where nothing is left to do.
  int32_t next() {
    int32_t n = problem.takeDirty();
    while (n < 0 && !waiting.empty()) {
      const int32_t stuck = waiting.back();
      waiting.pop_back();
      isWaiting[stuck] = false;
      if (problem.node(stuck).isLive)
        apply(dear, stuck);
      n = problem.takeDirty();
    }
    if (n >= 0)
      return n;
    problem.compactMemory();
    return problem.takeDirty();
  }

  ReducibleProblem &problem;
  std::vector<Reduction *> cheap, dear;
  std::vector<int32_t> waiting; ///< nodes of which the dear ones have not seen the latest
  std::vector<bool> isWaiting;
  int64_t budget = kBudget;
};

void reduceWith(ReducibleProblem &problem, const Reductions &reductions) {
  Reducer(problem, reductions).run();
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
