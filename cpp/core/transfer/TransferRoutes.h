// Ways of every part of every slice from a device that has it to all that want it: trees of hops,
// whose loads on the links are even.
#pragma once

#include "core/transfer/TransferNetwork.h"
#include <string>

namespace alpa {

/// Elements [begin, end) of a slice, counted in row-major order of its tile.
struct Part {
  int32_t slice = 0;
  int64_t begin = 0;
  int64_t end = 0;
  double bytes = 0;
};

/// A part goes from device to device (indices into the network).
struct Hop {
  int32_t part = 0;
  int32_t sender = 0;
  int32_t receiver = 0;
  int32_t before = -1; ///< index of the hop that brings the part to the sender; -1: it has it
};

enum class RouteShape {
  Chain, ///< every device hands on to the next: of many parts, all links carry at once
  Tree,  ///< whoever has the part sends to whom it reaches first: the fewest latencies
};

/// Holders and receivers of each slice, as indices into the network.
struct SliceEnds {
  std::vector<int32_t> holders, receivers;
};
std::vector<SliceEnds> endsOf(const TransferNetwork &network, const std::vector<Slice> &slices);

/// Every part enters each node once, by a device that wants it; hops come after those that they
/// wait for. Parts that fewer nodes can send choose first.
std::vector<Hop> routeParts(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
                            const std::vector<Part> &parts, RouteShape shape);

} // namespace alpa
