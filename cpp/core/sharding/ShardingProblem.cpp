#include "core/sharding/ShardingProblem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

namespace alpa {
namespace {

/// No sum of usages reaches this.
constexpr int64_t kMaxTotal = int64_t{1} << 61;

[[noreturn]] void fail(const std::string &where, const std::string &what) {
  throw std::invalid_argument(where + ": " + what);
}

std::string nodeName(size_t node) { return "node " + std::to_string(node); }
std::string edgeName(size_t edge) { return "edge " + std::to_string(edge); }

void checkCosts(const std::vector<int64_t> &costs, const std::string &where) {
  for (int64_t cost : costs)
    if (cost < 0)
      fail(where, "expected a cost of at least 0, got " + std::to_string(cost));
}

/// Adds the largest usage to `total`.
void addUsages(const ShardingNode &node, size_t index, int64_t &total) {
  const int64_t largest = *std::max_element(node.usages.begin(), node.usages.end());
  const int64_t least = *std::min_element(node.usages.begin(), node.usages.end());
  if (least < 0)
    fail(nodeName(index), "expected a usage of at least 0, got " + std::to_string(least));
  if (largest >= kMaxTotal - total)
    fail(nodeName(index), "the largest usages up to here reach " + std::to_string(kMaxTotal) +
                              " in sum: use a coarser unit");
  total += largest;
}

void checkNode(const ShardingNode &node, size_t index) {
  if (node.costs.empty())
    fail(nodeName(index), "expected at least one strategy");
  if (node.costs.size() != node.usages.size())
    fail(nodeName(index), "expected as many usages as costs, got " +
                              std::to_string(node.usages.size()) + " and " +
                              std::to_string(node.costs.size()));
  if (node.interval.begin < 0 || node.interval.begin > node.interval.end)
    fail(nodeName(index), "expected an interval with 0 <= begin <= end, got [" +
                              std::to_string(node.interval.begin) + ", " +
                              std::to_string(node.interval.end) + ")");
  auto tooLarge = [](int64_t usage) { return usage >= kForbiddenCost; };
  if (std::any_of(node.usages.begin(), node.usages.end(), tooLarge))
    fail(nodeName(index), "expected usages below " + std::to_string(kForbiddenCost));
}

void checkEdge(const ShardingEdge &edge, size_t index, const std::vector<ShardingNode> &nodes) {
  for (int32_t end : {edge.first, edge.second})
    if (end < 0 || static_cast<size_t>(end) >= nodes.size())
      fail(edgeName(index),
           "expected nodes below " + std::to_string(nodes.size()) + ", got " + std::to_string(end));
  if (edge.first == edge.second)
    fail(edgeName(index),
         "expected two different nodes, got " + std::to_string(edge.first) + " twice");
  size_t rows = nodes[edge.first].costs.size(), columns = nodes[edge.second].costs.size();
  if (edge.costs.size() != rows * columns)
    fail(edgeName(index), "expected " + std::to_string(rows) + " x " + std::to_string(columns) +
                              " costs, got " + std::to_string(edge.costs.size()));
}

void checkChoices(const ShardingProblem &problem, const std::vector<int32_t> &choices) {
  const size_t size = problem.nodes.size();
  if (choices.size() != size)
    fail("choices", "expected one per node (" + std::to_string(size) + "), got " +
                        std::to_string(choices.size()));
  for (size_t i = 0; i < size; ++i)
    if (size_t count = problem.nodes[i].costs.size();
        choices[i] < 0 || static_cast<size_t>(choices[i]) >= count)
      fail("choices", nodeName(i) + ": expected a strategy below " + std::to_string(count) +
                          ", got " + std::to_string(choices[i]));
}

/// The highest sum of usages at one time. At equal times what ends is taken off first: intervals
/// are half open.
void findPeak(const ShardingProblem &problem, const std::vector<int32_t> &choices,
              Evaluation &result) {
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (size_t i = 0; i < choices.size(); ++i) {
    const ShardingNode &node = problem.nodes[i];
    int64_t usage = node.usages[choices[i]];
    if (node.interval.begin == node.interval.end || usage == 0)
      continue;
    changes.emplace_back(node.interval.begin, usage);
    changes.emplace_back(node.interval.end, -usage);
  }
  std::sort(changes.begin(), changes.end());
  int64_t usage = 0;
  for (auto [time, change] : changes) {
    usage += change;
    if (usage > result.peakUsage) {
      result.peakUsage = usage;
      result.peakTime = time;
    }
  }
}

} // namespace

int32_t ShardingProblem::addNode(Interval interval, std::vector<int64_t> costs,
                                 std::vector<int64_t> usages) {
  nodes.push_back({interval, std::move(costs), std::move(usages)});
  return static_cast<int32_t>(nodes.size()) - 1;
}

int32_t ShardingProblem::addEdge(int32_t first, int32_t second, std::vector<int64_t> costs) {
  edges.push_back({first, second, std::move(costs)});
  return static_cast<int32_t>(edges.size()) - 1;
}

void ShardingProblem::check() const {
  constexpr size_t kMaxCount = std::numeric_limits<int32_t>::max();
  if (nodes.size() > kMaxCount || edges.size() > kMaxCount)
    fail("problem", "expected fewer than 2^31 nodes and edges");
  if (usageLimit && *usageLimit < 0)
    fail("usage limit", "expected at least 0, got " + std::to_string(*usageLimit));
  int64_t totalUsage = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    checkNode(nodes[i], i);
    checkCosts(nodes[i].costs, nodeName(i));
    addUsages(nodes[i], i, totalUsage);
  }
  for (size_t i = 0; i < edges.size(); ++i) {
    checkEdge(edges[i], i, nodes);
    checkCosts(edges[i].costs, edgeName(i));
  }
}

Evaluation ShardingProblem::evaluate(const std::vector<int32_t> &choices) const {
  checkChoices(*this, choices);
  Evaluation result;
  auto add = [&result](int64_t cost) {
    if (cost >= kForbiddenCost)
      ++result.numForbidden;
    else if (__builtin_add_overflow(result.cost, cost, &result.cost))
      throw std::overflow_error("choices: their costs add up to 2^63 or more: use a coarser unit");
  };
  for (size_t i = 0; i < nodes.size(); ++i)
    add(nodes[i].costs[choices[i]]);
  for (const ShardingEdge &edge : edges)
    add(edge.costs[choices[edge.first] * nodes[edge.second].costs.size() + choices[edge.second]]);
  findPeak(*this, choices, result);
  result.withinLimit = !usageLimit || result.peakUsage <= *usageLimit;
  return result;
}

ShardingProblem ShardingProblem::among(const std::vector<std::vector<int32_t>> &answers) const {
  for (const std::vector<int32_t> &choices : answers)
    checkChoices(*this, choices);
  ShardingProblem result = *this;
  for (size_t i = 0; i < nodes.size(); ++i) {
    std::vector<int64_t> &costs = result.nodes[i].costs;
    std::fill(costs.begin(), costs.end(), kForbiddenCost);
    for (const std::vector<int32_t> &choices : answers)
      costs[choices[i]] = nodes[i].costs[choices[i]];
  }
  return result;
}

int64_t ShardingProblem::busiestTime() const {
  std::vector<int32_t> largest;
  for (const ShardingNode &node : nodes)
    largest.push_back(static_cast<int32_t>(
        std::max_element(node.usages.begin(), node.usages.end()) - node.usages.begin()));
  Evaluation result;
  findPeak(*this, largest, result);
  return result.peakTime;
}

ShardingProblem ShardingProblem::priced(double price, int64_t time) const {
  if (!std::isfinite(price) || price < 0)
    fail("price", "expected a finite one of at least 0, got " + std::to_string(price));
  ShardingProblem result = *this;
  result.usageLimit.reset();
  for (ShardingNode &node : result.nodes) {
    if (time < node.interval.begin || time >= node.interval.end)
      continue;
    for (size_t strategy = 0; strategy < node.costs.size(); ++strategy) {
      int64_t &cost = node.costs[strategy];
      if (cost >= kForbiddenCost)
        continue;
      double added = std::round(price * static_cast<double>(node.usages[strategy]));
      if (added >= static_cast<double>(kForbiddenCost - cost))
        throw std::overflow_error("price: with " + std::to_string(price) +
                                  " per byte a cost is forbidden that was not");
      cost += static_cast<int64_t>(added);
    }
  }
  return result;
}

} // namespace alpa
