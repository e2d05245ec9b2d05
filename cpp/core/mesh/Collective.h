// The collectives XLA inserts between shards, and what each costs in the alpha-beta model (Alpa,
// section 4.2).
#pragma once

#include "core/mesh/DeviceMesh.h"
#include <cstdint>
#include <optional>
#include <string>

namespace alpa {

enum class CollectiveKind { AllReduce, AllGather, ReduceScatter, AllToAll, CollectivePermute };

/// HLO's name: "all-reduce", ...
const char *name(CollectiveKind kind);

/// One collective over the devices along `axes`.
struct Collective {
  CollectiveKind kind = CollectiveKind::AllReduce;
  AxisSet axes = 0;
  /// Per device, the larger of operand and result: all-gather counts what comes out, reduce-scatter
  /// what goes in.
  int64_t bytes = 0;
};

/// The kind of that name; nullopt where there is none.
std::optional<CollectiveKind> collectiveKind(const std::string &name);

/// Time of a collective that all groups along its axes run at once: the latency of the farthest
/// link, then the bytes each device sends, or those that a node sends to others, whichever takes
/// longer. It depends on which devices make a group, not on how axes name them.
///
/// Ring algorithms: n devices send (n-1)/n of the bytes (all-reduce twice that), and a ring leaves
/// a node once, so that its devices there share what the network carries. In an all-to-all every
/// pair of devices has something of its own to send.
double seconds(const Collective &collective, const DeviceMesh &mesh);

} // namespace alpa
