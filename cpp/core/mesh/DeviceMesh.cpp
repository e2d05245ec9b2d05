// DeviceMesh and DeviceSpec: checks and lookups.

#include "core/mesh/DeviceMesh.h"
#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace alpa {
namespace {

bool isRate(double rate) { return rate > 0 && std::isfinite(rate); }

std::string complaintOf(const Link &link, const std::string &where) {
  if (isRate(link.bytesPerSecond) && link.latencySeconds >= 0 && std::isfinite(link.latencySeconds))
    return "";
  return "expected a bandwidth above 0 and a latency of at least 0, both finite, " + where +
         " nodes, got " + text(link.bytesPerSecond) + " bytes/s and " + text(link.latencySeconds) +
         " s";
}

} // namespace

std::string text(double number) {
  std::ostringstream stream;
  stream << number;
  return stream.str();
}

DeviceMesh::DeviceMesh(std::vector<DeviceMeshAxis> axes, MeshLinks links)
    : meshAxes(std::move(axes)), meshLinks(links) {
  if (complaint().empty())
    for (AxisSet set = 0; set < AxisSet(1) << numAxes(); ++set)
      spreads.push_back(findSpread(set));
}

int64_t DeviceMesh::numDevices() const {
  int64_t product = 1;
  for (const DeviceMeshAxis &axis : meshAxes)
    product *= axis.size;
  return product;
}

int DeviceMesh::axisIndex(const std::string &name) const {
  for (int i = 0; i < numAxes(); ++i)
    if (meshAxes[i].name == name)
      return i;
  return -1;
}

/// Counts, node by node, the devices of each group: nodes need not hold whole rows of the mesh.
GroupSpread DeviceMesh::findSpread(AxisSet axes) const {
  GroupSpread spread;
  for (int axis = 0; axis < numAxes(); ++axis)
    if (axes >> axis & 1)
      spread.groupSize *= meshAxes[axis].size;

  const int64_t size = spread.groupSize, all = numDevices();
  std::vector<int32_t> members(all / size, 0); // by group, of the node at hand
  std::vector<int64_t> present;                // groups that the node has devices of
  for (int64_t first = 0; first < all; first += meshLinks.devicesPerNode) {
    const int64_t end = first + std::min(meshLinks.devicesPerNode, all - first);
    for (int64_t device = first; device < end; ++device) {
      const int64_t group = groupOf(device, axes);
      if (members[group]++ == 0)
        present.push_back(group);
    }
    GroupSpread ofNode;
    for (int64_t group : present) {
      const int64_t inside = std::exchange(members[group], 0), outside = size - inside;
      ofNode.crossingGroups += outside > 0;
      ofNode.crossingDevices += std::min(inside, outside);
      ofNode.crossingPairs += inside * outside;
    }
    present.clear();
    spread.crossingGroups = std::max(spread.crossingGroups, ofNode.crossingGroups);
    spread.crossingDevices = std::max(spread.crossingDevices, ofNode.crossingDevices);
    spread.crossingPairs = std::max(spread.crossingPairs, ofNode.crossingPairs);
  }
  return spread;
}

/// The number of the group along `axes` that a device is in: its place along the other axes.
int64_t DeviceMesh::groupOf(int64_t device, AxisSet axes) const {
  int64_t group = 0, stride = 1;
  for (int axis = numAxes() - 1; axis >= 0; --axis) {
    const int64_t place = device % meshAxes[axis].size;
    device /= meshAxes[axis].size;
    if (axes >> axis & 1)
      continue;
    group += place * stride;
    stride *= meshAxes[axis].size;
  }
  return group;
}

std::string DeviceMesh::complaint() const {
  if (meshAxes.empty() || numAxes() > kMaxMeshAxes)
    return "expected a mesh of one to " + std::to_string(kMaxMeshAxes) + " axes, got " +
           std::to_string(numAxes());
  std::set<std::string> names;
  int64_t numDevices = 1;
  for (const DeviceMeshAxis &axis : meshAxes) {
    if (axis.name.empty() || !names.insert(axis.name).second)
      return "expected mesh axes of distinct names, got '" + axis.name + "' twice or empty";
    if (axis.size < 1)
      return "expected axis '" + axis.name + "' to have at least 1 device, got " +
             std::to_string(axis.size);
    if (__builtin_mul_overflow(numDevices, axis.size, &numDevices) || numDevices > kMaxMeshDevices)
      return "expected a mesh of at most " + std::to_string(kMaxMeshDevices) + " devices, got more";
  }
  if (meshLinks.devicesPerNode < 1)
    return "expected at least 1 device per node, got " + std::to_string(meshLinks.devicesPerNode);
  if (const std::string wrong = complaintOf(meshLinks.intraNode, "within"); !wrong.empty())
    return wrong;
  return complaintOf(meshLinks.interNode, "between");
}

void DeviceMesh::check() const {
  if (const std::string wrong = complaint(); !wrong.empty())
    throw std::invalid_argument(wrong);
}

double DeviceSpec::flopsPerSecond(const std::string &elementType) const {
  auto found = peakFlops.find(elementType);
  if (found == peakFlops.end())
    found = peakFlops.find("f32");
  return found == peakFlops.end() ? peakFlops.begin()->second : found->second;
}

std::string DeviceSpec::complaint() const {
  if (peakFlops.empty())
    return "expected the peak FLOP/s of at least one element type, got none";
  for (const auto &[type, rate] : peakFlops)
    if (!isRate(rate))
      return "expected a positive and finite peak FLOP/s for '" + type + "', got " + text(rate);
  if (!isRate(memoryBytesPerSecond))
    return "expected a positive and finite memory bandwidth, got " + text(memoryBytesPerSecond);
  if (memoryBytes < 0)
    return "expected a memory size of at least 0 bytes, got " + std::to_string(memoryBytes);
  for (const auto &[name, curve] : curves)
    if (const std::string wrong = curve.complaint(); !wrong.empty())
      return "efficiency curve '" + name + "': " + wrong;
  return "";
}

void DeviceSpec::check() const {
  if (const std::string wrong = complaint(); !wrong.empty())
    throw std::invalid_argument(wrong);
}

} // namespace alpa
