#include "core/layers/LayerProblem.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace alpa {
namespace {

[[noreturn]] void fail(const std::string &where, const std::string &what) {
  throw std::invalid_argument(where + ": " + what);
}

/// The first op of each layer, and the end of the last.
std::vector<int32_t> bordersOf(const LayerProblem &problem, const std::vector<int32_t> &starts) {
  const int32_t numOps = static_cast<int32_t>(problem.ops.size());
  if (static_cast<int32_t>(starts.size()) != problem.numLayers)
    fail("layers", "expected " + std::to_string(problem.numLayers) + ", got " +
                       std::to_string(starts.size()));
  if (starts[0] != 0)
    fail("layer 0", "expected to start at op 0, got " + std::to_string(starts[0]));
  std::vector<int32_t> borders = starts;
  borders.push_back(numOps);
  for (int32_t layer = 1; layer < problem.numLayers; ++layer) {
    const std::string where = "layer " + std::to_string(layer);
    if (starts[layer] <= starts[layer - 1] || starts[layer] >= numOps)
      fail(where, "expected to start between ops " + std::to_string(starts[layer - 1]) + " and " +
                      std::to_string(numOps) + ", got " + std::to_string(starts[layer]));
    if (!problem.ops[starts[layer]].mayStartLayer)
      fail(where, "op " + std::to_string(starts[layer]) + " may not start a layer");
  }
  return borders;
}

} // namespace

double LayerProblem::totalFlops() const {
  double total = 0;
  for (const LayerOp &op : ops)
    total += op.flops;
  return total;
}

int32_t LayerProblem::mostLayers() const {
  // The ops between two allowed starts move together, so they count once.
  int32_t most = 0;
  bool hasHeavy = false;
  for (const LayerOp &op : ops) {
    if (op.mayStartLayer)
      hasHeavy = false;
    most += op.isHeavy && !hasHeavy;
    hasHeavy |= op.isHeavy;
  }
  return std::max(most, 1);
}

void LayerProblem::check() const {
  if (numLayers < 1)
    fail("layers", "expected at least 1, got " + std::to_string(numLayers));
  if (!std::isfinite(maxLayerFlops) || maxLayerFlops < 0)
    fail("layer flops",
         "expected a finite limit of at least 0, got " + std::to_string(maxLayerFlops));
  for (size_t i = 0; i < ops.size(); ++i)
    if (!std::isfinite(ops[i].flops) || ops[i].flops < 0)
      fail("op " + std::to_string(i),
           "expected finite flops of at least 0, got " + std::to_string(ops[i].flops));
  constexpr int64_t kMaxBytes = int64_t{1} << 50;
  for (size_t i = 0; i < values.size(); ++i) {
    const LayerValue &value = values[i];
    const std::string where = "value " + std::to_string(i);
    if (value.producer < 0 || value.producer > value.lastReader ||
        static_cast<size_t>(value.lastReader) >= ops.size())
      fail(where, "expected 0 <= producer <= last reader < " + std::to_string(ops.size()) +
                      ", got " + std::to_string(value.producer) + " and " +
                      std::to_string(value.lastReader));
    if (value.bytes < 0 || value.bytes > kMaxBytes)
      fail(where, "expected bytes from 0 to 2^50, got " + std::to_string(value.bytes));
  }
}

LayerEvaluation LayerProblem::evaluate(const std::vector<int32_t> &starts) const {
  const std::vector<int32_t> borders = bordersOf(*this, starts);
  LayerEvaluation result;
  for (int32_t layer = 0; layer < numLayers; ++layer) {
    const std::string where = "layer " + std::to_string(layer);
    auto first = ops.begin() + borders[layer], end = ops.begin() + borders[layer + 1];
    if (numLayers > 1 && std::none_of(first, end, [](const LayerOp &op) { return op.isHeavy; }))
      fail(where, "expected a heavy op");
    double flops = 0;
    for (auto op = first; op != end; ++op)
      flops += op->flops;
    if (flops > maxLayerFlops * (1 + 1e-9))
      fail(where, "expected at most " + std::to_string(maxLayerFlops) + " flops, got " +
                      std::to_string(flops));
    result.flops.push_back(flops);
    result.sumOfSquares += flops * flops;
  }
  for (const LayerValue &value : values)
    for (int32_t layer = 1; layer < numLayers; ++layer)
      if (value.producer < starts[layer] && starts[layer] <= value.lastReader)
        result.crossingBytes += value.bytes;
  return result;
}

} // namespace alpa
