// Seconds of an op: computing beside moving data.

#include "core/mesh/OpSeconds.h"
#include <algorithm>

namespace alpa {
namespace {

const EfficiencyCurve *find(const DeviceSpec &device, const std::string &name) {
  auto found = device.curves.find(name);
  return found == device.curves.end() ? nullptr : &found->second;
}

bool isProduct(const std::string &opClass) {
  return opClass == "product" || opClass == "batched_product" || opClass == "convolution";
}

double computeSeconds(const OpWork &work, const DeviceSpec &device) {
  if (isProduct(work.opClass))
    if (const EfficiencyCurve *curve = find(device, work.opClass + " " + work.elementType))
      return curve->at(work.flops);
  return work.flops / device.flopsPerSecond(work.elementType);
}

/// Classes that were not measured move data as elementwise ops do. So do products: their operands
/// come in order.
double memorySeconds(const OpWork &work, const DeviceSpec &device) {
  const EfficiencyCurve *curve = find(device, work.opClass);
  if (!curve)
    curve = find(device, "elementwise");
  return curve ? curve->at(work.memoryBytes) : work.memoryBytes / device.memoryBytesPerSecond;
}

} // namespace

double seconds(const OpWork &work, const DeviceSpec &device) {
  return std::max(computeSeconds(work, device), memorySeconds(work, device));
}

} // namespace alpa
