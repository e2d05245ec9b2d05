#include "core/sharding/search/CoreGraph.h"

namespace alpa {

CoreGraph::CoreGraph(const CoreProblem &core)
    : core(core), sidesOf(core.numNodes()), segmentsAt(core.numNodes() + 1, 0) {
  for (int32_t e = 0; e < core.numEdges(); ++e) {
    sidesOf[core.edgeFirst[e]].push_back({e, core.edgeSecond[e], true});
    sidesOf[core.edgeSecond[e]].push_back({e, core.edgeFirst[e], false});
  }
  for (int32_t n : core.segmentNode)
    ++segmentsAt[n + 1];
  for (int32_t n = 0; n < core.numNodes(); ++n)
    segmentsAt[n + 1] += segmentsAt[n];
}

} // namespace alpa
