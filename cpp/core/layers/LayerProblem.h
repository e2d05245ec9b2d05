// The layer problem: cut the forward ops of a model, in a given order, into consecutive layers of
// about equal work with little data flowing between them (Alpa, OSDI'22, equation 6).
// `evaluate` is the judge of answers; LayerDp finds them and shares no code with it.
#pragma once

#include <cstdint>
#include <vector>

namespace alpa {

struct LayerOp {
  double flops = 0;
  /// A product or convolution: every layer must have one, else the cheapest cuts would be those
  /// that part next to nothing from the rest.
  bool isHeavy = false;
  bool mayStartLayer = true;
};

/// A value that crosses every cut after its producer, up to its last reader.
struct LayerValue {
  int32_t producer = 0;
  int32_t lastReader = 0;
  int64_t bytes = 0;
};

struct LayerEvaluation {
  int64_t crossingBytes = 0; ///< summed over the cuts
  double sumOfSquares = 0;   ///< of the layers' FLOPs
  std::vector<double> flops; ///< per layer
};

struct LayerProblem {
  int32_t numLayers = 1;
  std::vector<LayerOp> ops;
  std::vector<LayerValue> values;
  /// No layer may have more. Sums are compared up to a relative error of 1e-9.
  double maxLayerFlops = 0;

  double totalFlops() const;
  /// The number of layers that are possible at all.
  int32_t mostLayers() const;

  /// Throws std::invalid_argument naming the first field, op or value that breaks the form.
  void check() const;

  /// What the cut costs; `starts` holds the first op of each layer. Throws std::invalid_argument
  /// with the rule it breaks: layers in order, allowed starts, a heavy op each, FLOPs. The problem
  /// must be checked.
  LayerEvaluation evaluate(const std::vector<int32_t> &starts) const;
};

} // namespace alpa
