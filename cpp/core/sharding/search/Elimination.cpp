#include "core/sharding/search/Elimination.h"

#include <algorithm>
#include <set>

namespace alpa {
namespace {

/// A table over the strategies of some nodes, row-major in the order of `scope`.
struct Factor {
  std::vector<int32_t> scope;
  std::vector<int64_t> table;
};

/// How a node is eliminated: its best strategy for every choice of the nodes in `scope`.
struct Step {
  int32_t node;
  std::vector<int32_t> scope;
  std::vector<int32_t> best;
};

int32_t numStrategies(const CoreProblem &core, int32_t n) {
  return static_cast<int32_t>(core.nodeOffsets[n + 1] - core.nodeOffsets[n]);
}

/// Entries of a table over `nodes`, or `cap` if there are more.
int64_t tableSize(const CoreProblem &core, const std::set<int32_t> &nodes, int64_t cap) {
  int64_t size = 1;
  for (int32_t n : nodes) {
    size *= numStrategies(core, n);
    if (size >= cap)
      return cap;
  }
  return size;
}

/// The order that keeps the next table smallest, or nothing if all tables are too large.
std::optional<std::vector<int32_t>> planOrder(const CoreProblem &core, int64_t maxEntries) {
  std::vector<std::set<int32_t>> neighbours(core.numNodes());
  for (int32_t e = 0; e < core.numEdges(); ++e) {
    neighbours[core.edgeFirst[e]].insert(core.edgeSecond[e]);
    neighbours[core.edgeSecond[e]].insert(core.edgeFirst[e]);
  }
  // By size of the table that eliminating the node makes; ties go to the lower node.
  std::set<std::pair<int64_t, int32_t>> queue;
  std::vector<int64_t> sizes(core.numNodes());
  auto measure = [&](int32_t n) {
    return std::min(maxEntries,
                    tableSize(core, neighbours[n], maxEntries) * numStrategies(core, n));
  };
  for (int32_t n = 0; n < core.numNodes(); ++n)
    queue.emplace(sizes[n] = measure(n), n);
  std::vector<int32_t> order;
  int64_t total = 0;
  while (!queue.empty()) {
    auto [size, n] = *queue.begin();
    queue.erase(queue.begin());
    total += size;
    if (total >= maxEntries)
      return std::nullopt;
    order.push_back(n);
    for (int32_t a : neighbours[n]) {
      neighbours[a].erase(n);
      for (int32_t b : neighbours[n])
        if (a != b)
          neighbours[a].insert(b);
    }
    for (int32_t a : neighbours[n]) {
      queue.erase({sizes[a], a});
      queue.emplace(sizes[a] = measure(a), a);
    }
  }
  return order;
}

std::vector<Factor> initialFactors(const CoreProblem &core) {
  std::vector<Factor> factors;
  auto slice = [](const std::vector<int64_t> &values, const std::vector<int64_t> &offsets,
                  int32_t i) {
    return std::vector<int64_t>(values.begin() + offsets[i], values.begin() + offsets[i + 1]);
  };
  for (int32_t n = 0; n < core.numNodes(); ++n)
    factors.push_back({{n}, slice(core.nodeCosts, core.nodeOffsets, n)});
  for (int32_t e = 0; e < core.numEdges(); ++e)
    factors.push_back(
        {{core.edgeFirst[e], core.edgeSecond[e]}, slice(core.edgeCosts, core.edgeOffsets, e)});
  return factors;
}

/// Where the choice of a table over `scope` lies in the tables of some factors, kept up while
/// counting through it.
class Odometer {
public:
  Odometer(const CoreProblem &core, const std::vector<int32_t> &scope,
           const std::vector<const Factor *> &factors)
      : at(factors.size(), 0), digits(scope.size(), 0) {
    for (int32_t n : scope)
      radix.push_back(numStrategies(core, n));
    for (const Factor *factor : factors) {
      std::vector<int64_t> strides(scope.size(), 0);
      int64_t stride = 1;
      for (size_t i = factor->scope.size(); i-- > 0;
           stride *= numStrategies(core, factor->scope[i]))
        strides[std::find(scope.begin(), scope.end(), factor->scope[i]) - scope.begin()] = stride;
      stridesOf.push_back(std::move(strides));
    }
  }

  const std::vector<int64_t> &positions() const { return at; }

  void advance() {
    for (size_t d = digits.size(); d-- > 0;) {
      bool hasWrapped = ++digits[d] == radix[d];
      for (size_t f = 0; f < at.size(); ++f)
        at[f] += stridesOf[f][d] * (hasWrapped ? 1 - radix[d] : 1);
      if (!hasWrapped)
        return;
      digits[d] = 0;
    }
  }

private:
  std::vector<int64_t> at;
  std::vector<int32_t> digits;
  std::vector<int64_t> radix;
  std::vector<std::vector<int64_t>> stridesOf;
};

/// Replaces all factors of a node by one without it.
Step eliminate(const CoreProblem &core, int32_t n, std::vector<Factor> &factors) {
  auto isOther = [n](const Factor &factor) {
    return std::find(factor.scope.begin(), factor.scope.end(), n) == factor.scope.end();
  };
  auto firstOwn = std::stable_partition(factors.begin(), factors.end(), isOther);
  std::vector<Factor> own(std::make_move_iterator(firstOwn),
                          std::make_move_iterator(factors.end()));
  factors.erase(firstOwn, factors.end());

  std::set<int32_t> others;
  std::vector<const Factor *> pointers;
  for (const Factor &factor : own) {
    others.insert(factor.scope.begin(), factor.scope.end());
    pointers.push_back(&factor);
  }
  others.erase(n);
  Factor joined{{others.begin(), others.end()}, {}};
  int64_t size = tableSize(core, others, INT64_MAX);
  joined.table.assign(size, kBlocked);
  Step step{n, joined.scope, std::vector<int32_t>(size, 0)};
  std::vector<int32_t> scope = joined.scope;
  scope.push_back(n); // varies fastest
  Odometer odometer(core, scope, pointers);
  int32_t count = numStrategies(core, n);
  for (int64_t i = 0; i < size; ++i)
    for (int32_t p = 0; p < count; ++p, odometer.advance()) {
      int64_t cost = 0;
      for (size_t f = 0; f < pointers.size(); ++f)
        cost = addCosts(cost, pointers[f]->table[odometer.positions()[f]]);
      if (cost < joined.table[i]) {
        joined.table[i] = cost;
        step.best[i] = p;
      }
    }
  factors.push_back(std::move(joined));
  return step;
}

} // namespace

std::optional<EliminationResult> solveByElimination(const CoreProblem &core, int64_t maxEntries) {
  if (core.numRows() > 0)
    return std::nullopt;
  std::optional<std::vector<int32_t>> order = planOrder(core, maxEntries);
  if (!order)
    return std::nullopt;
  std::vector<Factor> factors = initialFactors(core);
  std::vector<Step> steps;
  for (int32_t n : *order)
    steps.push_back(eliminate(core, n, factors));
  EliminationResult result;
  result.cost = core.constantCost;
  for (const Factor &factor : factors) // of no node any more
    result.cost = addCosts(result.cost, factor.table[0]);
  result.choices.assign(core.numNodes(), 0);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    int64_t index = 0;
    for (int32_t n : step->scope)
      index = index * numStrategies(core, n) + result.choices[n];
    result.choices[step->node] = step->best[index];
  }
  return result;
}

} // namespace alpa
