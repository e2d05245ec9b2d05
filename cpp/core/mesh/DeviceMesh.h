// The logical mesh a program is sharded over and the devices it is made of: what every cost is
// computed from.
#pragma once

#include "core/mesh/EfficiencyCurve.h"
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace alpa {

/// A sharding problem is built for meshes of one to three axes; a fixed bound keeps `Sharding` a
/// small value type.
inline constexpr int kMaxMeshAxes = 3;

/// One axis of a logical mesh with the alpha-beta model of its links.
struct DeviceMeshAxis {
  std::string name;
  int64_t size = 1;
  double latencySeconds = 0;     ///< alpha: fixed time of one collective along the axis
  double bytesPerSecond = 1e300; ///< 1 / beta: what one device sends along the axis
};

/// A logical mesh: devices in row-major order of the axes.
struct DeviceMesh {
  std::vector<DeviceMeshAxis> axes;

  int64_t numDevices() const;
  int numAxes() const { return static_cast<int>(axes.size()); }
  /// Index of the axis called `name`, or -1.
  int axisIndex(const std::string &name) const;
  /// What is wrong, as "expected ..."; empty for a mesh of one to three axes of distinct names with
  /// sizes of at least 1, at most 2^31 - 1 devices, and finite rates: bandwidths above 0, latencies
  /// of at least 0.
  std::string complaint() const;
  /// Throws std::invalid_argument with the complaint.
  void check() const;
};

/// One device, as the roofline sees it.
struct DeviceSpec {
  std::map<std::string, double> peakFlops; ///< FLOP/s by element type of MLIR ("f32", "bf16", ...)
  double memoryBytesPerSecond = 1e12;
  int64_t memoryBytes = 0; ///< 0: no limit
  /// Whether the compiler turns an all-reduce followed by a slice into a reduce-scatter (XLA: on
  /// GPU, not on CPU).
  bool hasReduceScatter = true;
  /// Measured seconds, for seconds(OpWork): of memory-bound ops by bytes, as "elementwise"; of
  /// products by FLOP and element type, as "product bf16". Empty: the roofline of the peaks.
  std::map<std::string, EfficiencyCurve> curves = {};

  /// FLOP/s for an element type; the f32 figure, then any figure, where the type is not listed.
  double flopsPerSecond(const std::string &elementType) const;
  /// What is wrong, as "expected ..."; empty where there is a peak, all rates are positive and
  /// finite, and memory is at least 0.
  std::string complaint() const;
  /// Throws std::invalid_argument with the complaint.
  void check() const;
};

} // namespace alpa
