// The transfer problem (On Optimizing the Communication of Model Parallelism, MLSys'23): an array
// lies in tiles on the devices of one mesh and is wanted in other tiles on those of another. Which
// device sends what to whom, and in which order, so that the last tile is complete soonest?
// PlanTransfer finds answers, VerifyTransfer judges them and shares no code with it.
#pragma once

#include "core/mesh/DeviceMesh.h"
#include <cstdint>
#include <utility>
#include <vector>

namespace alpa {

/// A part of an array: of each dim its first index and the one after its last.
using Tile = std::vector<std::pair<int64_t, int64_t>>;

struct DeviceTile {
  int32_t device = 0; ///< number in the cluster, whose nodes take devices in order
  Tile tile;
};

/// The links: what a device sends, and what it receives, goes through a port of `links.intraNode`,
/// one for each direction. What leaves or enters a node goes through its card of `links.interNode`
/// as well, again one for each direction. A send begins on all its links at once and keeps each
/// for as long as that link needs for its bytes; one send at a time. It has arrived when the
/// slowest link is through, and a latency later.
struct TransferProblem {
  std::vector<int64_t> shape;
  int64_t elementBytes = 1;
  std::vector<DeviceTile> source; ///< equal or disjoint tiles, together the whole array
  std::vector<DeviceTile> target; ///< equal or disjoint tiles; devices may be those of the source
  MeshLinks links;

  int32_t nodeOf(int32_t device) const {
    return static_cast<int32_t>(device / links.devicesPerNode);
  }

  /// Throws std::invalid_argument naming what breaks the form: tiles that leave the array, overlap
  /// in part or leave some of it out, a device with two tiles, links without finite rates.
  void check() const;
};

int64_t numElements(const Tile &tile);
/// What two tiles have in common; of no elements where they are disjoint.
Tile overlap(const Tile &a, const Tile &b);

/// What goes the same ways: a part of one tile of the source and of one that is wanted.
struct Slice {
  Tile tile;
  std::vector<int32_t> holders;   ///< devices that have it
  std::vector<int32_t> receivers; ///< devices that want it and have it not
};

/// Every part of the array that a device wants and has not, once. The problem must be checked.
std::vector<Slice> findSlices(const TransferProblem &problem);

} // namespace alpa
