// Conditional dominance: given a neighbour's strategy q, a strategy p is never needed if another
// one costs no more with that q whatever the other neighbours choose, and uses no more memory. The
// pair (p, q) is then blocked. Where this leaves one strategy for each q, the node follows its
// neighbour.

#include "core/sharding/reductions/Exchange.h"
#include "core/sharding/reductions/Reduction.h"

namespace alpa {
namespace {

/// The test looks at all pairs of strategies for all pairs at every edge; hubs are not worth it.
constexpr size_t kMaxDegree = 16;

class PairDominance final : public Reduction {
public:
  const char *name() const override { return "pair-dominance"; }
  bool accepts(const ReducibleProblem &problem, int32_t n) const override {
    const ReducibleProblem::Node &node = problem.node(n);
    return node.numStrategies() > 1 && !node.edges.empty() && node.edges.size() <= kMaxDegree;
  }

  int64_t numSteps(const ReducibleProblem &problem, int32_t n) const override {
    return numPairSteps(problem, n);
  }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    bool hasChanged = false;
    size_t degree = problem.node(n).edges.size();
    exchange.resize(degree);
    for (size_t i = 0; i < degree; ++i)
      measure(problem, n, i);
    for (size_t i = 0; i < degree; ++i) {
      if (!blockPairs(problem, n, i))
        continue;
      measure(problem, n, i); // what is blocked now must count when the other edges are tried
      problem.markDirty(problem.edgeEnd(problem.node(n).edges[i], n).other);
      hasChanged = true;
    }
    return hasChanged;
  }

private:
  /// exchange[i][from * k + to]: what the exchange adds at most at edge i.
  std::vector<std::vector<int64_t>> exchange;

  void measure(ReducibleProblem &problem, int32_t n, size_t i) {
    int32_t count = problem.node(n).numStrategies();
    ReducibleProblem::EdgeEnd end = problem.edgeEnd(problem.node(n).edges[i], n);
    exchange[i].resize(count * count);
    for (int32_t from = 0; from < count; ++from)
      for (int32_t to = 0; to < count; ++to)
        exchange[i][from * count + to] = from == to ? 0 : exchangeCost(end, from, to);
  }

  /// The most the exchange adds in the node and all edges but edge `skipped`.
  int64_t exchangeElsewhere(const ReducibleProblem::Node &node, int32_t from, int32_t to,
                            size_t skipped) const {
    int64_t sum = node.costs[to] - node.costs[from];
    for (size_t i = 0; i < node.edges.size(); ++i) {
      if (i == skipped)
        continue;
      int64_t most = exchange[i][from * node.numStrategies() + to];
      if (most >= kImpossible)
        return kImpossible;
      sum += most;
    }
    return sum;
  }

  bool blockPairs(ReducibleProblem &problem, int32_t n, size_t i) const {
    const ReducibleProblem::Node &node = problem.node(n);
    ReducibleProblem::EdgeEnd end = problem.edgeEnd(node.edges[i], n);
    bool hasChanged = false;
    for (int32_t from = 0; from < node.numStrategies(); ++from)
      for (int32_t to = 0; to < node.numStrategies(); ++to) {
        if (from == to || !fitsWhere(node, from, to))
          continue;
        int64_t elsewhere = exchangeElsewhere(node, from, to, i);
        if (elsewhere >= kImpossible)
          continue;
        // A pair is blocked at once, so it cannot in turn stand in for the one that replaces it.
        for (int32_t q = 0; q < end.numTheirs; ++q) {
          int64_t &worse = end.cost(from, q);
          int64_t better = end.cost(to, q);
          if (worse < kBlocked && better < kBlocked && elsewhere + better - worse <= 0) {
            worse = kBlocked;
            hasChanged = true;
          }
        }
      }
    return hasChanged;
  }
};

} // namespace

std::unique_ptr<Reduction> makePairDominance() { return std::make_unique<PairDominance>(); }

} // namespace alpa
