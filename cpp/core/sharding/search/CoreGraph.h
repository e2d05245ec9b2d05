// A core with its adjacency: which edges and segments belong to which node.
#pragma once

#include "core/sharding/CoreProblem.h"

namespace alpa {

class CoreGraph {
public:
  struct Side {
    int32_t edge;
    int32_t other;
    bool isFirst; ///< the node is the edge's first: its strategies are the rows
  };

  /// The core must outlive this.
  explicit CoreGraph(const CoreProblem &core);

  const CoreProblem &core;

  int32_t numStrategies(int32_t n) const {
    return static_cast<int32_t>(core.nodeOffsets[n + 1] - core.nodeOffsets[n]);
  }
  const std::vector<Side> &sides(int32_t n) const { return sidesOf[n]; }

  /// Segments of a node are segmentsBegin(n) .. segmentsBegin(n + 1).
  int32_t segmentsBegin(int32_t n) const { return segmentsAt[n]; }

  int64_t edgeCost(const Side &side, int32_t n, int32_t own, int32_t theirs) const {
    int64_t begin = core.edgeOffsets[side.edge];
    return side.isFirst
               ? core.edgeCosts[begin + static_cast<int64_t>(own) * numStrategies(side.other) +
                                theirs]
               : core.edgeCosts[begin + static_cast<int64_t>(theirs) * numStrategies(n) + own];
  }

private:
  std::vector<std::vector<Side>> sidesOf;
  std::vector<int32_t> segmentsAt;
};

} // namespace alpa
