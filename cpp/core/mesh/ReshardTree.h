// How a value gets to several readers at once: a tree of reshards in which each step runs once.
#pragma once

#include "core/mesh/Reshard.h"

namespace alpa {

/// Every step leaves from the value as it was made or from where an earlier step arrived.
struct ReshardTree {
  struct Step {
    int from; ///< the number of the step it follows; -1 is the value as it was made
    ReshardStep step;
  };
  std::vector<Step> steps;
  std::vector<int> arrivals; ///< by reader, the step that makes what it wants; -1 for none

  double seconds() const;
};

/// The tree by which a value goes from `made` to what its readers want (`wanted`, one per reader).
/// All of it first goes to one sharding, the *view*, from there on to each reader in turn, the
/// nearest first, from the nearest place reached; the view is the one that makes this cheapest (the
/// heuristic of Takahashi and Matsuyama, 1980, for Steiner trees, with one free vertex). Never
/// costs more than a route of its own for each reader, nor than routes from any one view. What is
/// made does not depend on the order of readers.
ReshardTree reshardTree(const ReshardTable &table, const Sharding &made,
                        const std::vector<Sharding> &wanted);

} // namespace alpa
