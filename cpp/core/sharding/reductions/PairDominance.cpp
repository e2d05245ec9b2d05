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
  bool isDear() const override { return true; }
  bool accepts(const ReducibleProblem &problem, int32_t n) const override {
    const ReducibleProblem::Node &node = problem.node(n);
    return node.numStrategies() > 1 && !node.edges.empty() && node.edges.size() <= kMaxDegree;
  }

  int64_t numSteps(const ReducibleProblem &problem, int32_t n) const override {
    return numPairSteps(problem, n);
  }

  bool apply(ReducibleProblem &problem, int32_t n) override {
    const ReducibleProblem::Node &node = problem.node(n);
    exchange.resize(node.edges.size());
    for (size_t i = 0; i < node.edges.size(); ++i)
      measure(problem, n, i);
    sumUp(node);
    bool hasChanged = false;
    for (size_t i = 0; i < node.edges.size(); ++i) {
      if (!blockPairs(problem, n, i))
        continue;
      // What is blocked now must count when the other edges are tried.
      measure(problem, n, i);
      sumUp(node);
      problem.markDirty(problem.edgeEnd(node.edges[i], n).other);
      hasChanged = true;
    }
    return hasChanged;
  }

private:
  /// exchange[i][from * k + to]: what the exchange adds at most at edge i.
  std::vector<std::vector<int64_t>> exchange;
  /// By from * k + to: what it adds at most in the node and at all edges where it is possible, and
  /// at how many it is not.
  std::vector<int64_t> sums;
  std::vector<int32_t> numImpossible;
  ManyExchanges exchanges;

  void measure(ReducibleProblem &problem, int32_t n, size_t i) {
    int32_t count = problem.node(n).numStrategies();
    exchanges.take(problem.edgeEnd(problem.node(n).edges[i], n), count);
    exchange[i].resize(count * count);
    for (int32_t from = 0; from < count; ++from)
      for (int32_t to = 0; to < count; ++to)
        exchange[i][from * count + to] = from == to ? 0 : exchanges.cost(from, to);
  }

  void sumUp(const ReducibleProblem::Node &node) {
    const int32_t count = node.numStrategies();
    sums.resize(count * count);
    numImpossible.assign(count * count, 0);
    for (int32_t from = 0; from < count; ++from)
      for (int32_t to = 0; to < count; ++to)
        sums[from * count + to] = node.costs[to] - node.costs[from];
    for (const std::vector<int64_t> &most : exchange)
      for (int32_t at = 0; at < count * count; ++at) {
        const bool isPossible = most[at] < kImpossible;
        sums[at] += isPossible ? most[at] : 0;
        numImpossible[at] += !isPossible;
      }
  }

  /// The most the exchange adds in the node and all edges but edge i.
  int64_t exchangeElsewhere(int32_t at, size_t i) const {
    const bool isPossible = exchange[i][at] < kImpossible;
    if (numImpossible[at] > !isPossible)
      return kImpossible;
    return sums[at] - (isPossible ? exchange[i][at] : 0);
  }

  bool blockPairs(ReducibleProblem &problem, int32_t n, size_t i) const {
    const ReducibleProblem::Node &node = problem.node(n);
    const int32_t count = node.numStrategies();
    ReducibleProblem::EdgeEnd end = problem.edgeEnd(node.edges[i], n);
    bool hasChanged = false;
    for (int32_t from = 0; from < count; ++from)
      for (int32_t to = 0; to < count; ++to) {
        int64_t elsewhere = exchangeElsewhere(from * count + to, i);
        // The way back says what the edge saves at most.
        if (from == to || elsewhere >= kImpossible || elsewhere > exchange[i][to * count + from] ||
            !fitsWhere(node, from, to))
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
