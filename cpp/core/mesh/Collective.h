// The collectives XLA inserts between shards, and what each costs in the alpha-beta model (Alpa,
// section 4.2).
#pragma once

#include "core/mesh/DeviceMesh.h"
#include <cstdint>
#include <string>

namespace alpa {

enum class CollectiveKind { AllReduce, AllGather, ReduceScatter, AllToAll, CollectivePermute };

/// HLO's name: "all-reduce", ...
const char *name(CollectiveKind kind);

/// A set of mesh axes, bit i for axis i.
using AxisSet = uint32_t;

/// One collective over the devices along `axes`.
struct Collective {
  CollectiveKind kind = CollectiveKind::AllReduce;
  AxisSet axes = 0;
  /// Per device, the larger of operand and result: all-gather counts what comes out, reduce-scatter
  /// what goes in.
  int64_t bytes = 0;
};

/// Time of a collective: latencies of its axes, and the bytes each device sends through the slowest
/// of them. Ring algorithms: n devices send (n-1)/n of the bytes (all-reduce twice that).
double seconds(const Collective &collective, const DeviceMesh &mesh);

} // namespace alpa
