// What alpa-cluster-layers works on: the ops of @microbatch and @update, and the layers found so
// far. Each step of the pass is a file of its own.
#pragma once

#include "OuterOps.h"
#include "alpa/IR/Attributes.h"
#include <map>
#include <optional>
#include <set>

namespace alpa {

inline constexpr int kNoLayer = -1;

/// Ops without effect whose values need nothing but constants, small arguments that are neither
/// parameter nor batch (step counts, keys), the number of the microbatch and what the prologue
/// makes: every part can make them for itself.
std::vector<bool> cloneableOps(const OuterOps &ops);

/// Gives cloneable ops that depend on an argument, and are read in one layer only, to that layer
/// (random bits of a dropout); broadcasts, schedules and keys read in several stay without.
void settleCloneable(const OuterOps &ops, const std::vector<bool> &isCloneable,
                     std::vector<int> &layers);

/// An integer attribute of an argument of a function.
std::optional<int64_t> argumentNumber(mlir::Value value, llvm::StringRef attribute);
/// An argument with the role of a parameter.
bool isParameter(mlir::Value value);

struct MicrobatchLayers {
  explicit MicrobatchLayers(OuterOps ops);

  OuterOps ops;
  std::vector<bool> isCloneable;
  std::vector<bool> isBackward;
  /// The forward op of which an op of the backward computes the value again, from what an
  /// optimization barrier holds back (jax.checkpoint); -1 for none.
  std::vector<int> recomputes;
  /// Forward ops of one checkpointed region each.
  std::vector<std::vector<int>> checkpoints;
  std::vector<int> layers;

  bool isForward(int index) const { return !isBackward[index] && !isCloneable[index]; }

  /// The layers whose forward ops read each parameter, by its number in @main; where none does, the
  /// layers of the backward ops that do.
  std::map<int64_t, std::set<int>> parameterLayers() const;
  /// The layer in which each accumulator grows, by its number.
  std::map<int64_t, int> accumulatorLayers() const;
};

/// Finds `recomputes` and `checkpoints`.
void findRecomputations(MicrobatchLayers &microbatch);

struct ForwardLayerOptions {
  int64_t numLayers; ///< 0: chosen
  double flopsTolerance;
};
/// Fails with a diagnostic if there are not enough products for the layers.
llvm::LogicalResult assignForwardLayers(MicrobatchLayers &microbatch,
                                        const ForwardLayerOptions &options);

void assignBackwardLayers(MicrobatchLayers &microbatch);

/// The layers of the ops of @update.
std::vector<int> assignUpdateLayers(const OuterOps &update, const MicrobatchLayers &microbatch);

} // namespace alpa
