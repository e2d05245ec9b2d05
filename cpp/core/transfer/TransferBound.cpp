#include "core/transfer/TransferBound.h"

#include <algorithm>
#include <map>
#include <set>

namespace alpa {
namespace {

using Ids = std::set<int32_t>;
using BytesOfHolders = std::map<Ids, double>;

Ids nodesOf(const TransferProblem &problem, const std::vector<int32_t> &devices) {
  Ids nodes;
  for (int32_t device : devices)
    nodes.insert(problem.nodeOf(device));
  return nodes;
}

/// Nodes with a device that wants the slice and none that has it.
Ids nodesToEnter(const TransferProblem &problem, const Slice &slice) {
  Ids nodes = nodesOf(problem, slice.receivers);
  for (int32_t node : nodesOf(problem, slice.holders))
    nodes.erase(node);
  return nodes;
}

double bytesOf(const TransferProblem &problem, const Slice &slice) {
  return static_cast<double>(numElements(slice.tile) * problem.elementBytes);
}

/// Bytes of the busiest sender when those of each set share what only they can send.
double busiestSender(const BytesOfHolders &sent) {
  Ids all;
  for (const auto &[holders, bytes] : sent)
    all.insert(holders.begin(), holders.end());
  double most = 0;
  auto count = [&](const Ids &group) {
    double together = 0;
    for (const auto &[holders, bytes] : sent)
      if (std::includes(group.begin(), group.end(), holders.begin(), holders.end()))
        together += bytes;
    most = std::max(most, together / static_cast<double>(group.size()));
  };
  for (const auto &[holders, bytes] : sent)
    count(holders);
  if (!all.empty())
    count(all);
  return most;
}

double busiestReceiver(const std::map<int32_t, double> &received) {
  double most = 0;
  for (auto [id, bytes] : received)
    most = std::max(most, bytes);
  return most;
}

} // namespace

double boundSeconds(const TransferNetwork &network, const TransferProblem &problem,
                    const std::vector<Slice> &slices) {
  BytesOfHolders outOfNodes, outOfDevices;
  std::map<int32_t, double> intoNodes, intoDevices;
  bool onlyCrosses = true;
  for (const Slice &slice : slices) {
    double bytes = bytesOf(problem, slice);
    Ids entered = nodesToEnter(problem, slice);
    for (int32_t node : entered)
      intoNodes[node] += bytes;
    if (!entered.empty())
      outOfNodes[nodesOf(problem, slice.holders)] += bytes;
    for (int32_t device : slice.receivers)
      intoDevices[device] += bytes;
    outOfDevices[Ids(slice.holders.begin(), slice.holders.end())] += bytes;
    onlyCrosses &=
        entered == nodesOf(problem, slice.receivers) && entered.size() == slice.receivers.size();
  }
  if (slices.empty())
    return 0;
  double ports =
      network.portSeconds(std::max(busiestReceiver(intoDevices), busiestSender(outOfDevices)));
  double cards =
      network.cardSeconds(std::max(busiestReceiver(intoNodes), busiestSender(outOfNodes)));
  double inside = std::min(network.latency(false), network.latency(true));
  double bound = ports + (onlyCrosses ? network.latency(true) : inside);
  return intoNodes.empty() ? bound : std::max(bound, cards + network.latency(true));
}

int64_t leastCrossingBytes(const TransferProblem &problem, const std::vector<Slice> &slices) {
  int64_t bytes = 0;
  for (const Slice &slice : slices)
    bytes += static_cast<int64_t>(nodesToEnter(problem, slice).size()) * numElements(slice.tile) *
             problem.elementBytes;
  return bytes;
}

} // namespace alpa
