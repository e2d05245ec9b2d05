// DeviceMesh and DeviceSpec: checks and lookups.

#include "core/mesh/DeviceMesh.h"
#include <set>
#include <stdexcept>

namespace alpa {

int64_t DeviceMesh::numDevices() const {
  int64_t product = 1;
  for (const DeviceMeshAxis &axis : axes)
    product *= axis.size;
  return product;
}

int DeviceMesh::axisIndex(const std::string &name) const {
  for (int i = 0; i < numAxes(); ++i)
    if (axes[i].name == name)
      return i;
  return -1;
}

void DeviceMesh::check() const {
  if (axes.empty() || numAxes() > kMaxMeshAxes)
    throw std::invalid_argument("expected a mesh of one to " + std::to_string(kMaxMeshAxes) +
                                " axes, got " + std::to_string(numAxes()));
  std::set<std::string> names;
  for (const DeviceMeshAxis &axis : axes) {
    if (axis.name.empty() || !names.insert(axis.name).second)
      throw std::invalid_argument("expected mesh axes of distinct names, got '" + axis.name +
                                  "' twice or empty");
    if (axis.size < 1)
      throw std::invalid_argument("expected axis '" + axis.name +
                                  "' to have at least 1 device, got " + std::to_string(axis.size));
    if (!(axis.bytesPerSecond > 0) || !(axis.latencySeconds >= 0))
      throw std::invalid_argument(
          "expected a positive bandwidth and a latency of at least 0 for axis '" + axis.name + "'");
  }
}

double DeviceSpec::flopsPerSecond(const std::string &elementType) const {
  auto found = peakFlops.find(elementType);
  if (found == peakFlops.end())
    found = peakFlops.find("f32");
  return found == peakFlops.end() ? peakFlops.begin()->second : found->second;
}

void DeviceSpec::check() const {
  if (peakFlops.empty())
    throw std::invalid_argument("expected the peak FLOP/s of at least one element type, got none");
  for (const auto &[type, rate] : peakFlops)
    if (!(rate > 0))
      throw std::invalid_argument("expected a positive peak FLOP/s for '" + type + "', got " +
                                  std::to_string(rate));
  if (!(memoryBytesPerSecond > 0))
    throw std::invalid_argument("expected a positive memory bandwidth, got " +
                                std::to_string(memoryBytesPerSecond));
  if (memoryBytes < 0)
    throw std::invalid_argument("expected a memory size of at least 0 bytes, got " +
                                std::to_string(memoryBytes));
}

} // namespace alpa
