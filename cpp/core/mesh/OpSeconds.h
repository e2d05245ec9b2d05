// What one op takes on one device, collectives aside: by measured curves where there are some, else
// by the roofline.
#pragma once

#include "core/mesh/DeviceMesh.h"
#include <string>

namespace alpa {

/// What one device does for an op.
struct OpWork {
  /// As curves are named: "product", "batched_product", "convolution", "elementwise", "reduce",
  /// "transpose", "gather", "scatter".
  std::string opClass = "elementwise";
  std::string elementType; ///< of its first operand, MLIR's name
  double flops = 0;
  double memoryBytes = 0; ///< read and written
};

/// The longer of computing and of moving data. Does not fall as either of them grows.
double seconds(const OpWork &work, const DeviceSpec &device);

} // namespace alpa
