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

/// Enumerating the devices of a mesh, to see which share a node, stays quick.
inline constexpr int64_t kMaxMeshDevices = int64_t(1) << 20;

/// A number as messages show it: short, with an exponent where it is small or large.
std::string text(double number);

/// The alpha-beta model of a link.
struct Link {
  double latencySeconds = 0;     ///< alpha: fixed time of one collective
  double bytesPerSecond = 1e300; ///< 1 / beta
};

/// What joins the devices of a mesh: nodes take them in order, `devicesPerNode` each.
struct MeshLinks {
  int64_t devicesPerNode = kMaxMeshDevices;
  Link intraNode; ///< what one device sends, wherever to
  Link interNode; ///< what one node, all its devices together, sends to other nodes
};

struct DeviceMeshAxis {
  std::string name;
  int64_t size = 1;
};

/// A set of mesh axes, bit i for axis i.
using AxisSet = uint32_t;

/// How the groups of devices along a set of axes lie in the nodes. Of nodes that are not alike, the
/// one that has most to send counts.
struct GroupSpread {
  int64_t groupSize = 1;
  /// Groups with devices in the node and elsewhere; 0 where no group leaves its node.
  int64_t crossingGroups = 0;
  /// How many devices of the node can send to one elsewhere when each sends to one of its group.
  int64_t crossingDevices = 0;
  /// Pairs of devices of one group, the first in the node and the second elsewhere.
  int64_t crossingPairs = 0;
};

/// A logical mesh: devices in row-major order of the axes.
class DeviceMesh {
public:
  DeviceMesh() = default;
  /// Not checked; see `complaint`.
  DeviceMesh(std::vector<DeviceMeshAxis> axes, MeshLinks links);

  const std::vector<DeviceMeshAxis> &axes() const { return meshAxes; }
  const MeshLinks &links() const { return meshLinks; }
  int64_t numDevices() const;
  int numAxes() const { return static_cast<int>(meshAxes.size()); }
  /// Index of the axis called `name`, or -1.
  int axisIndex(const std::string &name) const;
  /// The mesh must have no complaint.
  const GroupSpread &spread(AxisSet axes) const { return spreads[axes]; }

  /// What is wrong, as "expected ..."; empty for a mesh of one to three axes of distinct names with
  /// sizes of at least 1, at most kMaxMeshDevices devices, at least 1 device per node, and finite
  /// rates: bandwidths above 0, latencies of at least 0.
  std::string complaint() const;
  /// Throws std::invalid_argument with the complaint.
  void check() const;

private:
  GroupSpread findSpread(AxisSet axes) const;
  int64_t groupOf(int64_t device, AxisSet axes) const;

  std::vector<DeviceMeshAxis> meshAxes;
  MeshLinks meshLinks;
  std::vector<GroupSpread> spreads; ///< by set of axes
};

/// One device, as the roofline sees it.
struct DeviceSpec {
  std::map<std::string, double> peakFlops; ///< FLOP/s by element type of MLIR ("f32", "bf16", ...)
  double memoryBytesPerSecond = 1e12;
  int64_t memoryBytes = 0; ///< 0: no limit
  /// Whether the compiler makes collectives as XLA does on GPUs and not on CPUs: a reduce-scatter
  /// of an all-reduce and a slice, one all-reduce of several in a row, gathers and scatters along
  /// the major dim only.
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
