// What no transfer plan can do better than.
#pragma once

#include "core/transfer/TransferNetwork.h"

namespace alpa {

/// Every slice must enter every node that wants it and has it not, and the port of every device
/// that wants it. It must leave one of those that have it: of slices that only some nodes, or
/// devices, have, these must send all, however evenly they share.
double boundSeconds(const TransferNetwork &network, const TransferProblem &problem,
                    const std::vector<Slice> &slices);

/// Bytes that must go from node to node: each slice once into each node that wants it.
int64_t leastCrossingBytes(const TransferProblem &problem, const std::vector<Slice> &slices);

} // namespace alpa
