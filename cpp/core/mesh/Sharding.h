// Which mesh axes split which dims of one tensor: the value type that strategies, reshards and
// annotations share.
#pragma once

#include "core/mesh/DeviceMesh.h"
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace alpa {

/// The sharding of a tensor. An axis splits at most one dim; the axes of one dim are ordered, major
/// first. Small enough to be copied, compared and hashed as a number.
class Sharding {
public:
  /// Fully replicated.
  Sharding() {
    dims.fill(-1);
    positions.fill(0);
  }

  /// The dim that `axis` splits, or -1.
  int dimOf(int axis) const { return dims[axis]; }
  bool isReplicated() const { return *this == Sharding(); }

  /// The axes of `dim`, major first.
  std::vector<int> axesOf(int dim) const;

  /// Adds `axis` as the minor-most axis of `dim`. The axis must be free.
  void append(int dim, int axis);
  /// Takes the minor-most axis of `dim` away and returns it; -1 where there is none.
  int removeMinor(int dim);
  /// The same, not split by these axes.
  Sharding without(AxisSet axes) const;

  /// Number of pieces `dim` is cut into, and number of distinct pieces of the tensor.
  int64_t shardsOf(int dim, const DeviceMesh &mesh) const;
  int64_t numShards(const DeviceMesh &mesh) const;

  /// "{x,y},{}".
  std::string str(int rank, const DeviceMesh &mesh) const;
  /// Reads what `str` writes; nullopt, and `error` says why, where it cannot.
  static std::optional<Sharding> parse(const std::string &text, const DeviceMesh &mesh,
                                       std::string &error);

  bool operator==(const Sharding &other) const {
    return dims == other.dims && positions == other.positions;
  }
  bool operator<(const Sharding &other) const {
    return dims != other.dims ? dims < other.dims : positions < other.positions;
  }

private:
  std::array<int8_t, kMaxMeshAxes> dims;
  std::array<int8_t, kMaxMeshAxes>
      positions; ///< place among the axes of its dim; 0 where replicated
};

/// Whether every dim divides evenly into its shards.
bool divides(const Sharding &sharding, const std::vector<int64_t> &shape, const DeviceMesh &mesh);

/// Every sharding of a tensor in which each dim divides evenly. `allOrders`: with every order of
/// the axes of a dim, else only in the order of the mesh. The replicated one comes first; the order
/// is fixed.
std::vector<Sharding> allShardings(const std::vector<int64_t> &shape, const DeviceMesh &mesh,
                                   bool allOrders);

} // namespace alpa
