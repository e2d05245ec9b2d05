#include "core/sharding/reductions/TieNodes.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

namespace alpa {
namespace {

using Colour = uint64_t;

/// Mixes a value into a hash (the finaliser of splitmix64). Equal inputs give equal colours on
/// every machine.
Colour mix(Colour hash, uint64_t value) {
  uint64_t x = hash * 0x9e3779b97f4a7c15u + value + 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

Colour mixAll(Colour hash, const std::vector<int64_t> &values) {
  hash = mix(hash, values.size());
  for (int64_t value : values)
    hash = mix(hash, static_cast<uint64_t>(value));
  return hash;
}

/// What a node sees at one end of an edge.
struct Sight {
  int32_t neighbour;
  Colour edge; ///< its table and direction
};

std::vector<std::vector<Sight>> collectSights(const ShardingProblem &problem) {
  std::vector<std::vector<Sight>> sights(problem.nodes.size());
  for (const ShardingEdge &edge : problem.edges) {
    Colour table = mixAll(0, edge.costs);
    sights[edge.first].push_back({edge.second, mix(table, 1)});
    sights[edge.second].push_back({edge.first, mix(table, 2)});
  }
  return sights;
}

std::vector<Colour> refine(const std::vector<Colour> &colours,
                           const std::vector<std::vector<Sight>> &sights) {
  std::vector<Colour> refined(colours.size()), seen;
  for (size_t i = 0; i < colours.size(); ++i) {
    seen.clear();
    for (const Sight &sight : sights[i])
      seen.push_back(mix(sight.edge, colours[sight.neighbour]));
    std::sort(seen.begin(), seen.end());
    refined[i] = colours[i];
    for (Colour colour : seen)
      refined[i] = mix(refined[i], colour);
  }
  return refined;
}

} // namespace

std::vector<int32_t> findIdenticalNodes(const ShardingProblem &problem, int32_t radius) {
  std::vector<Colour> colours;
  for (const ShardingNode &node : problem.nodes)
    colours.push_back(mixAll(mixAll(0, node.costs), node.usages));
  std::vector<std::vector<Sight>> sights = collectSights(problem);
  for (int32_t round = 0; round < radius; ++round)
    colours = refine(colours, sights);

  std::unordered_map<Colour, int32_t> classOf; // only looked up, so its order does not matter
  std::vector<int32_t> classes;
  for (Colour colour : colours)
    classes.push_back(classOf.emplace(colour, static_cast<int32_t>(classOf.size())).first->second);
  return classes;
}

void tieNodes(ReducibleProblem &problem, const std::vector<int32_t> &classes) {
  if (classes.size() != static_cast<size_t>(problem.numNodes()))
    throw std::invalid_argument("expected a class for each of " +
                                std::to_string(problem.numNodes()) + " nodes, got " +
                                std::to_string(classes.size()));
  std::unordered_map<int32_t, int32_t> firstOf;
  for (int32_t n = 0; n < problem.numNodes(); ++n) {
    int32_t first = firstOf.emplace(classes[n], n).first->second;
    if (first == n)
      continue;
    int32_t numStrategies = problem.node(first).numStrategies();
    if (problem.node(n).numStrategies() != numStrategies)
      throw std::invalid_argument(
          "expected tied nodes to have the same number of strategies, got " +
          std::to_string(numStrategies) + " at node " + std::to_string(first) + " and " +
          std::to_string(problem.node(n).numStrategies()) + " at node " + std::to_string(n));
    std::vector<std::pair<int32_t, int32_t>> same;
    for (int32_t p = 0; p < numStrategies; ++p)
      same.emplace_back(p, p);
    problem.merge(first, n, same);
  }
}

} // namespace alpa
