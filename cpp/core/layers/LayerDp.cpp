// Both programs walk from each end backwards over possible starts of the last layer and stop at the
// first that makes it too large, so the work is ops x layers x ops in a layer.

#include "core/layers/LayerDp.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace alpa {
namespace {

/// Prefix sums: what a layer and a cut cost, in constant time.
class Prefixes {
public:
  explicit Prefixes(const LayerProblem &problem)
      : flops(problem.ops.size() + 1), heavy(flops.size()), crossing(flops.size() + 1) {
    for (size_t i = 0; i < problem.ops.size(); ++i) {
      flops[i + 1] = flops[i] + problem.ops[i].flops;
      heavy[i + 1] = heavy[i] + problem.ops[i].isHeavy;
      if (i == 0 || problem.ops[i].mayStartLayer)
        starts.push_back(static_cast<int32_t>(i));
    }
    for (const LayerValue &value : problem.values) {
      crossing[value.producer + 1] += value.bytes;
      crossing[value.lastReader + 1] -= value.bytes;
    }
    for (size_t i = 1; i < crossing.size(); ++i)
      crossing[i] += crossing[i - 1];
  }

  double flopsOf(int32_t first, int32_t end) const { return flops[end] - flops[first]; }
  bool hasHeavy(int32_t first, int32_t end) const { return heavy[end] > heavy[first]; }
  /// Bytes that cross a cut right before op `start`.
  int64_t bytesAt(int32_t start) const { return crossing[start]; }

  std::vector<int32_t> starts; ///< where a layer may start, ascending

private:
  std::vector<double> flops;
  std::vector<int32_t> heavy;
  std::vector<int64_t> crossing;
};

/// A best way to cut the ops before some end into some number of layers.
template <typename Cost> struct Best {
  Cost cost;
  int32_t start = -1; ///< of the last layer, as an index into `starts`; -1: there is no way
};

/// Tables of the dynamic program: rows[l][e], of l + 1 layers that end where layer `starts[e]` may
/// begin, or with the last op.
template <typename Cost> using Rows = std::vector<std::vector<Best<Cost>>>;

/// `extend(cost, start, end)` is the cost with one more layer; `isTooLarge(start, end, best)` says
/// that neither this start nor an earlier one improves on the best cost so far.
template <typename Cost, typename Extend, typename IsTooLarge>
Rows<Cost> fill(const LayerProblem &problem, const Prefixes &prefixes, Cost none, Extend extend,
                IsTooLarge isTooLarge) {
  const int32_t numStarts = static_cast<int32_t>(prefixes.starts.size());
  const int32_t numOps = static_cast<int32_t>(problem.ops.size());
  Rows<Cost> rows(problem.numLayers, std::vector<Best<Cost>>(numStarts + 1, {none, -1}));
  for (int32_t layer = 0; layer < problem.numLayers; ++layer)
    for (int32_t e = layer + 1; e <= numStarts; ++e) {
      const int32_t end = e == numStarts ? numOps : prefixes.starts[e];
      Best<Cost> &best = rows[layer][e];
      const int32_t firstStart = layer == 0 ? 0 : layer, lastStart = layer == 0 ? 0 : e - 1;
      for (int32_t s = lastStart; s >= firstStart; --s) {
        const int32_t start = prefixes.starts[s];
        if (isTooLarge(start, end, best.cost))
          break;
        const bool isReachable = layer == 0 || rows[layer - 1][s].start >= 0;
        if (!isReachable || (problem.numLayers > 1 && !prefixes.hasHeavy(start, end)))
          continue;
        Cost cost = extend(layer == 0 ? Cost() : rows[layer - 1][s].cost, start, end);
        if (best.start < 0 || cost < best.cost)
          best = {cost, s};
      }
    }
  return rows;
}

} // namespace

std::optional<std::vector<int32_t>> solveLayers(const LayerProblem &problem) {
  problem.check();
  if (problem.ops.empty())
    return problem.numLayers == 1 ? std::optional(std::vector<int32_t>{0}) : std::nullopt;
  const Prefixes prefixes(problem);
  using Cost = std::tuple<int64_t, double>; // crossing bytes, sum of squares
  const double limit = problem.maxLayerFlops * (1 + 1e-9);
  const Rows<Cost> rows = fill(
      problem, prefixes, Cost(),
      [&](const Cost &cost, int32_t start, int32_t end) {
        auto [bytes, squares] = cost;
        double flops = prefixes.flopsOf(start, end);
        return Cost{bytes + (start == 0 ? 0 : prefixes.bytesAt(start)), squares + flops * flops};
      },
      [&](int32_t start, int32_t end, const Cost &) {
        return prefixes.flopsOf(start, end) > limit;
      });

  std::vector<int32_t> starts(problem.numLayers);
  int32_t end = static_cast<int32_t>(prefixes.starts.size());
  for (int32_t layer = problem.numLayers - 1; layer >= 0; --layer) {
    end = rows[layer][end].start;
    if (end < 0)
      return std::nullopt;
    starts[layer] = prefixes.starts[end];
  }
  return starts;
}

std::optional<double> leastMaxLayerFlops(const LayerProblem &problem) {
  problem.check();
  if (problem.ops.empty())
    return problem.numLayers == 1 ? std::optional(0.0) : std::nullopt;
  const Prefixes prefixes(problem);
  const double infinity = std::numeric_limits<double>::infinity();
  const Rows<double> rows = fill(
      problem, prefixes, infinity,
      [&](double cost, int32_t start, int32_t end) {
        return std::max(cost, prefixes.flopsOf(start, end));
      },
      [&](int32_t start, int32_t end, double best) { return prefixes.flopsOf(start, end) > best; });
  const Best<double> &best = rows.back().back();
  return best.start < 0 ? std::nullopt : std::optional(best.cost);
}

} // namespace alpa
