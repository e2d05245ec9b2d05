// How a tensor gets from one sharding to another: the cheapest route of steps that XLA does with
// one collective each.
//
// XLA's partitioner reshards in one step only what it has a pattern for (gather, slice, one
// all-to-all, one permute); anything else makes it replicate the tensor. So a reshard here is a
// path in the graph of shardings whose edges are those patterns, and the annotate pass spells the
// intermediate shardings out.
#pragma once

#include "core/mesh/Collective.h"
#include "core/mesh/Sharding.h"
#include <map>
#include <vector>

namespace alpa {

/// Seconds in which a device writes its piece of a tensor anew because a collective runs along
/// `dim`: XLA's for GPUs run along the major dim only, so what a gather makes or a reduce-scatter
/// reads is transposed, as is what an all-to-all cuts and what it puts together. `sharding` is how
/// that lies. Nothing on CPUs, nor where the dims before `dim` have one element on a device.
double transposeSeconds(const Sharding &sharding, int dim, const std::vector<int64_t> &shape,
                        int64_t elementBytes, const DeviceMesh &mesh, const DeviceSpec &device);

/// One step of a route. A slice has no collective: `collective.axes` is empty and its bytes are
/// what is written.
struct ReshardStep {
  Sharding target;
  Collective collective;
  double seconds = 0;
  bool isLocal() const { return collective.axes == 0; }
};

/// All cheapest routes between the shardings of one tensor type. Shardings are numbered; the
/// replicated one is 0.
class ReshardTable {
public:
  ReshardTable(std::vector<int64_t> shape, int64_t elementBytes, const DeviceMesh &mesh,
               const DeviceSpec &device);

  int size() const { return static_cast<int>(shardings.size()); }
  const Sharding &operator[](int number) const { return shardings[number]; }
  /// The number of a sharding. Throws std::invalid_argument where it does not divide the shape.
  int indexOf(const Sharding &sharding) const;
  /// Seconds of the cheapest route; 0 from a sharding to itself.
  double seconds(int from, int to) const { return routesFrom(from)[to].seconds; }
  /// No route takes more than as many of these as the mesh has axes, twice.
  double slowestStepSeconds() const { return slowestStep; }
  /// Its steps, empty from a sharding to itself.
  std::vector<ReshardStep> route(const Sharding &from, const Sharding &to) const;
  /// Whether `to` is `from` or one step away from it.
  bool isOneStep(const Sharding &from, const Sharding &to) const;

private:
  struct Reached {
    double seconds;
    int previous;
    const ReshardStep *step;
  };
  const std::vector<Reached> &routesFrom(int source) const;
  int rank() const { return static_cast<int>(shape.size()); }
  std::vector<ReshardStep> stepsFrom(const Sharding &from);
  void addStep(std::vector<ReshardStep> &to, const Sharding &target, Collective collective,
               double transposeSeconds = 0);
  void addSlices(std::vector<ReshardStep> &to, const Sharding &from);
  void addGathers(std::vector<ReshardStep> &to, const Sharding &from, int dim);
  void addPermutes(std::vector<ReshardStep> &to, const Sharding &from);

  std::vector<int64_t> shape;
  int64_t elementBytes;
  int64_t tensorBytes;
  DeviceMesh mesh;
  DeviceSpec device;
  double slowestStep = 0;
  std::vector<Sharding> shardings;
  std::map<Sharding, int> indices;
  std::vector<std::vector<ReshardStep>> steps;       ///< by sharding
  std::vector<std::vector<int>> stepTargets;         ///< number of each step's target
  mutable std::vector<std::vector<Reached>> reached; ///< by source, filled when asked for
};

} // namespace alpa
