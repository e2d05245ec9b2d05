// Exact reductions of sharding problems: each makes the problem smaller and keeps at least one
// optimal answer, memory included. Undoing one is the same for all of them and is done by the
// problem's trail (ReducibleProblem::expand).
#pragma once

#include "core/sharding/reductions/ReducibleProblem.h"

#include <memory>

namespace alpa {

class Reduction {
public:
  virtual ~Reduction() = default;
  virtual const char *name() const = 0;

  /// A cheap test whether the reduction might do something at a live node.
  virtual bool accepts(const ReducibleProblem &problem, int32_t n) const = 0;

  /// Whether it is for nodes at which nothing else does anything.
  virtual bool isDear() const { return false; }

  /// About how many steps `apply` takes where that can be many; what it costs elsewhere is small.
  virtual int64_t numSteps(const ReducibleProblem &, int32_t) const { return 0; }

  /// Tries to reduce at a live node. True if the problem changed; the node may be gone then.
  virtual bool apply(ReducibleProblem &problem, int32_t n) = 0;
};

/// One file each, in the order in which they are tried at a node: cheap ones make the next ones
/// cheaper.
std::unique_ptr<Reduction> makePruneForbidden();
std::unique_ptr<Reduction> makeNormalizeCosts();
std::unique_ptr<Reduction> makeDominance();
std::unique_ptr<Reduction> makeLeafMerge();
std::unique_ptr<Reduction> makeFollowerMerge();
std::unique_ptr<Reduction> makeChainElimination();
std::unique_ptr<Reduction> makePairDominance();

/// The names of all reductions, in that order.
std::vector<std::string> reductionNames();

/// Steps of a test that looks at all pairs of a node's strategies at every edge.
int64_t numPairSteps(const ReducibleProblem &problem, int32_t n);

/// Applies the named reductions (all if empty) until none changes anything, or the problem is
/// infeasible. Reductions are optional, so a budget of steps (some seconds) bounds the dear ones:
/// where ops have hundreds of strategies, on meshes of three axes, they would take minutes.
void reduce(ReducibleProblem &problem, const std::vector<std::string> &names = {});

/// Quick leaves out what pays off only once, at the start.
enum class Effort { Quick, Full };

/// As `reduce`, but starts from the nodes that are marked dirty.
void reduceDirty(ReducibleProblem &problem, Effort effort);

} // namespace alpa
