// Cost of collectives.

#include "core/mesh/Collective.h"
#include <algorithm>

namespace alpa {
namespace {

/// What a collective puts on links.
struct Traffic {
  double rounds = 1;      ///< of latency
  double deviceBytes = 0; ///< that each device sends
  double nodeBytes = 0;   ///< that the busiest node sends to others
};

Traffic traffic(const Collective &collective, const GroupSpread &spread) {
  const double n = static_cast<double>(spread.groupSize);
  const double bytes = static_cast<double>(collective.bytes);
  const double ring = (n - 1) / n * bytes;
  const double crossingGroups = static_cast<double>(spread.crossingGroups);
  switch (collective.kind) {
  case CollectiveKind::AllReduce: // a reduce-scatter and an all-gather
    return {2, 2 * ring, 2 * ring * crossingGroups};
  case CollectiveKind::AllGather:
  case CollectiveKind::ReduceScatter:
    return {1, ring, ring * crossingGroups};
  case CollectiveKind::AllToAll:
    return {1, ring, bytes / n * static_cast<double>(spread.crossingPairs)};
  case CollectiveKind::CollectivePermute:
    return {1, bytes, bytes * static_cast<double>(spread.crossingDevices)};
  }
  return {};
}

} // namespace

const char *name(CollectiveKind kind) {
  switch (kind) {
  case CollectiveKind::AllReduce:
    return "all-reduce";
  case CollectiveKind::AllGather:
    return "all-gather";
  case CollectiveKind::ReduceScatter:
    return "reduce-scatter";
  case CollectiveKind::AllToAll:
    return "all-to-all";
  case CollectiveKind::CollectivePermute:
    return "collective-permute";
  }
  return "";
}

std::optional<CollectiveKind> collectiveKind(const std::string &text) {
  for (CollectiveKind kind :
       {CollectiveKind::AllReduce, CollectiveKind::AllGather, CollectiveKind::ReduceScatter,
        CollectiveKind::AllToAll, CollectiveKind::CollectivePermute})
    if (text == name(kind))
      return kind;
  return std::nullopt;
}

double seconds(const Collective &collective, const DeviceMesh &mesh) {
  const GroupSpread &spread = mesh.spread(collective.axes);
  if (spread.groupSize == 1)
    return 0;
  const MeshLinks &links = mesh.links();
  const Traffic sent = traffic(collective, spread);
  const Link &farthest = spread.crossingGroups > 0 ? links.interNode : links.intraNode;
  return sent.rounds * farthest.latencySeconds +
         std::max(sent.deviceBytes / links.intraNode.bytesPerSecond,
                  sent.nodeBytes / links.interNode.bytesPerSecond);
}

} // namespace alpa
