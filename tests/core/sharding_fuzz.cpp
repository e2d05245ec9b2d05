// Random sharding problems through the whole C++ solver, against trying everything. Built with
// sanitizers (ALPA_SANITIZE); run with the number of problems and a seed.

#include "core/sharding/reductions/Reduction.h"
#include "core/sharding/reductions/TieNodes.h"
#include "core/sharding/search/AnytimeSolver.h"
#include "core/sharding/search/HelperThreads.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <thread>

using namespace alpa;

namespace {

class Source {
public:
  explicit Source(uint64_t seed) : engine(seed) {}
  int64_t below(int64_t end) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(end)); }
  bool chance(int64_t percent) { return below(100) < percent; }

private:
  std::mt19937_64 engine;
};

/// Memory limits, forbidden costs, parallel edges, isolated and one-strategy nodes, costs from 0 to
/// 1e14.
ShardingProblem randomProblem(Source &source) {
  ShardingProblem problem;
  int64_t scales[] = {1, 10, 1'000'000, 10'000'000'000'000};
  int64_t scale = scales[source.below(4)], forbidden = source.below(3) * 10;
  auto cost = [&] { return source.chance(forbidden) ? kForbiddenCost : source.below(20) * scale; };
  int64_t numNodes = 1 + source.below(8);
  for (int64_t n = 0; n < numNodes; ++n) {
    int64_t begin = source.below(6), size = 1 + source.below(4);
    std::vector<int64_t> costs, usages;
    for (int64_t p = 0; p < size; ++p) {
      costs.push_back(source.below(20) * scale);
      usages.push_back(source.below(10) * (source.chance(20) ? 100 : 1));
    }
    problem.addNode({begin, begin + source.below(5)}, costs, usages);
  }
  for (int64_t e = source.below(3 * numNodes); numNodes > 1 && e > 0; --e) {
    auto first = static_cast<int32_t>(source.below(numNodes)),
         second = static_cast<int32_t>(source.below(numNodes));
    if (first == second)
      continue;
    std::vector<int64_t> costs(problem.nodes[first].costs.size() *
                               problem.nodes[second].costs.size());
    for (int64_t &entry : costs)
      entry = cost();
    problem.addEdge(first, second, costs);
  }
  if (source.chance(70))
    problem.usageLimit = source.below(source.chance(50) ? 30 : 1000);
  return problem;
}

/// The optimum, or kBlocked.
int64_t bruteForce(const ShardingProblem &problem) {
  std::vector<int32_t> choices(problem.nodes.size(), 0);
  int64_t best = kBlocked;
  while (true) {
    Evaluation judged = problem.evaluate(choices);
    if (judged.feasible())
      best = std::min(best, judged.cost);
    size_t n = 0;
    while (n < choices.size() &&
           ++choices[n] == static_cast<int32_t>(problem.nodes[n].costs.size()))
      choices[n++] = 0;
    if (n == choices.size())
      return best;
  }
}

AnytimeResult search(const CoreProblem &core, uint64_t seed, int32_t numThreads,
                     int64_t workLimit) {
  AnytimeOptions options;
  options.seed = seed;
  options.numThreads = numThreads;
  options.workLimit = workLimit;
  auto goOn = [](const std::string &, const AnytimeResult &) { return true; };
  return AnytimeSolver(core, options, goOn).solve();
}

/// Stopped at any time, what the search says is true; and threads do not matter.
bool agreesCutShort(const CoreProblem &core, int64_t optimum, uint64_t seed) {
  for (int64_t workLimit : {int64_t{1}, int64_t{3000}}) {
    AnytimeResult one = search(core, seed, 1, workLimit), two = search(core, seed, 2, workLimit);
    if (one.choices != two.choices || one.lowerBound != two.lowerBound)
      return false;
    if (one.lowerBound > optimum || (one.choices && one.cost < optimum))
      return false;
  }
  return true;
}

bool agrees(const ShardingProblem &problem, uint64_t seed, bool isReduced) {
  int64_t optimum = bruteForce(problem);
  ReducibleProblem reduced(problem);
  reduce(reduced,
         isReduced ? std::vector<std::string>{} : std::vector<std::string>{"prune-forbidden"});
  if (reduced.isInfeasible())
    return optimum == kBlocked;
  CoreProblem core = reduced.core();
  if (!agreesCutShort(core, optimum, seed))
    return false;
  AnytimeResult result = search(core, seed, 2, INT64_MAX);
  if (!result.choices)
    return optimum == kBlocked && result.lowerBound >= kBlocked;
  Evaluation judged = problem.evaluate(reduced.expand(*result.choices));
  return judged.feasible() && judged.cost == optimum && result.cost == optimum &&
         result.lowerBound == optimum;
}

/// What a helper thread throws, or all of them, arrives at the caller.
bool arrivesFromHelpers() {
  const std::thread::id caller = std::this_thread::get_id();
  for (bool alsoCaller : {false, true}) {
    std::atomic<int> numThrown{0};
    try {
      runOnThreads(4, [&] {
        if (!alsoCaller && std::this_thread::get_id() == caller)
          return;
        ++numThrown;
        throw std::bad_alloc();
      });
      return false;
    } catch (const std::bad_alloc &) {
      if (numThrown != (alsoCaller ? 4 : 3))
        return false;
    }
  }
  return true;
}

} // namespace

int main(int argc, char **argv) {
  int64_t count = argc > 1 ? std::atoll(argv[1]) : 1000;
  uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (!arrivesFromHelpers()) {
    std::printf("expected what helper threads throw to arrive at the caller\n");
    return 1;
  }
  for (int64_t i = 0; i < count; ++i) {
    Source source(seed + static_cast<uint64_t>(i));
    ShardingProblem problem = randomProblem(source);
    problem.check();
    problem = ShardingProblem::fromJson(problem.toJson());
    findIdenticalNodes(problem, 2);
    if (agrees(problem, seed, i % 2 == 0))
      continue;
    std::printf("problem %lld disagrees with brute force:\n%s\n",
                static_cast<long long>(seed) + static_cast<long long>(i), problem.toJson().c_str());
    return 1;
  }
  std::printf("%lld problems agree with brute force\n", static_cast<long long>(count));
  return 0;
}
