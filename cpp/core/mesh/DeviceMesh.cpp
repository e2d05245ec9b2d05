// DeviceMesh and DeviceSpec: checks and lookups.

#include "core/mesh/DeviceMesh.h"
#include <cmath>
#include <limits>
#include <set>
#include <sstream>
#include <stdexcept>

namespace alpa {
namespace {

bool isRate(double rate) { return rate > 0 && std::isfinite(rate); }

/// std::to_string has no exponents.
std::string text(double number) {
  std::ostringstream stream;
  stream << number;
  return stream.str();
}

} // namespace

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

std::string DeviceMesh::complaint() const {
  if (axes.empty() || numAxes() > kMaxMeshAxes)
    return "expected a mesh of one to " + std::to_string(kMaxMeshAxes) + " axes, got " +
           std::to_string(numAxes());
  std::set<std::string> names;
  int64_t numDevices = 1;
  for (const DeviceMeshAxis &axis : axes) {
    if (axis.name.empty() || !names.insert(axis.name).second)
      return "expected mesh axes of distinct names, got '" + axis.name + "' twice or empty";
    if (axis.size < 1)
      return "expected axis '" + axis.name + "' to have at least 1 device, got " +
             std::to_string(axis.size);
    if (__builtin_mul_overflow(numDevices, axis.size, &numDevices) ||
        numDevices > std::numeric_limits<int32_t>::max())
      return "expected a mesh of fewer than 2^31 devices, got more";
    if (!isRate(axis.bytesPerSecond) || !(axis.latencySeconds >= 0) ||
        !std::isfinite(axis.latencySeconds))
      return "expected a bandwidth above 0 and a latency of at least 0, both finite, for axis '" +
             axis.name + "', got " + text(axis.bytesPerSecond) + " bytes/s and " +
             text(axis.latencySeconds) + " s";
  }
  return "";
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
