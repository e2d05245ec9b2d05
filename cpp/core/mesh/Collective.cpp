// Cost of collectives.

#include "core/mesh/Collective.h"
#include <algorithm>

namespace alpa {
namespace {

/// Number of devices along a set of axes.
int64_t groupSize(AxisSet axes, const DeviceMesh &mesh) {
  int64_t size = 1;
  for (int axis = 0; axis < mesh.numAxes(); ++axis)
    if (axes >> axis & 1)
      size *= mesh.axes[axis].size;
  return size;
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

double seconds(const Collective &collective, const DeviceMesh &mesh) {
  double latency = 0;
  double bandwidth = 1e300;
  for (int axis = 0; axis < mesh.numAxes(); ++axis)
    if (collective.axes >> axis & 1 && mesh.axes[axis].size > 1) {
      latency += mesh.axes[axis].latencySeconds;
      bandwidth = std::min(bandwidth, mesh.axes[axis].bytesPerSecond);
    }
  const double n = static_cast<double>(groupSize(collective.axes, mesh));
  const double bytes = static_cast<double>(collective.bytes);
  if (n <= 1)
    return 0;
  switch (collective.kind) {
  case CollectiveKind::AllReduce:
    return 2 * latency + 2 * (n - 1) / n * bytes / bandwidth;
  case CollectiveKind::AllGather:
  case CollectiveKind::ReduceScatter:
  case CollectiveKind::AllToAll:
    return latency + (n - 1) / n * bytes / bandwidth;
  case CollectiveKind::CollectivePermute:
    return latency + bytes / bandwidth;
  }
  return 0;
}

} // namespace alpa
