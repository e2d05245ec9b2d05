#include "core/transfer/TransferRoutes.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace alpa {
namespace {

using DevicesOfNode = std::map<int32_t, std::vector<int32_t>>;

/// A device that has the part, since when, and by which hop.
struct Owner {
  int32_t device = 0;
  int32_t hop = -1;
  double sinceSeconds = 0;
};

class Router {
public:
  Router(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
         const std::vector<Part> &parts, RouteShape shape);

  void route(int32_t number, const Part &part);
  std::vector<Hop> takeHops() { return std::move(hops); }

private:
  DevicesOfNode byNode(const std::vector<int32_t> &devices) const;
  std::vector<Owner> sendersOf(const DevicesOfNode &holders) const;
  std::vector<int32_t> nodesInOrder(const DevicesOfNode &nodes) const;
  void moveEntryFirst(std::vector<int32_t> &devices, int32_t number) const;
  void spread(const std::vector<int32_t> &receivers, std::vector<Owner> owners, LinkClock &clock);
  Owner hop(std::vector<Owner> &owners, int32_t receiver, LinkClock &clock);
  double load(int32_t sender, int32_t receiver) const;
  void count(int32_t sender, int32_t receiver);

  const TransferNetwork &network;
  const std::vector<SliceEnds> &ends;
  RouteShape shape;
  std::vector<double> ownBytes; ///< per node: that its devices have and other nodes want
  LinkTable loads;              ///< of all parts routed so far
  std::vector<double> entered;  ///< per device: bytes that came from other nodes
  std::vector<Hop> hops;
  int32_t partNumber = 0;
  double partBytes = 0;
};

Router::Router(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
               const std::vector<Part> &parts, RouteShape shape)
    : network(network), ends(ends), shape(shape), ownBytes(network.numNodes(), 0), loads(network),
      entered(network.numDevices(), 0) {
  for (const Part &part : parts) {
    const DevicesOfNode holders = byNode(ends[part.slice].holders);
    bool isWantedAbroad = false;
    for (int32_t receiver : ends[part.slice].receivers)
      isWantedAbroad |= !holders.count(network.nodeOf(receiver));
    for (const auto &[node, devices] : holders)
      ownBytes[node] += isWantedAbroad ? part.bytes : 0;
  }
}

DevicesOfNode Router::byNode(const std::vector<int32_t> &devices) const {
  DevicesOfNode nodes;
  for (int32_t device : devices)
    nodes[network.nodeOf(device)].push_back(device);
  return nodes;
}

/// Those that the part may come from: to a chain the one that has least to send.
std::vector<Owner> Router::sendersOf(const DevicesOfNode &holders) const {
  std::vector<Owner> senders;
  std::pair<double, double> least;
  for (const auto &[node, devices] : holders)
    for (int32_t device : devices) {
      std::pair<double, double> load = {loads.cardsOut[node], loads.portsOut[device]};
      if (shape == RouteShape::Chain && !senders.empty()) {
        if (!(load < least))
          continue;
        senders.clear();
      }
      senders.push_back({device});
      least = load;
    }
  return senders;
}

/// What a node hands on has entered it, so that its card never has more to send for it than the
/// bound says; unless it has slices of its own to send. Such nodes come last, where nothing is
/// handed on. Otherwise all parts go the same way, and none waits for another's detour.
std::vector<int32_t> Router::nodesInOrder(const DevicesOfNode &nodes) const {
  std::vector<int32_t> order;
  for (const auto &[node, devices] : nodes)
    order.push_back(node);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return ownBytes[a] < ownBytes[b]; });
  return order;
}

/// The part enters a node by the device that fewest bytes have entered by, and goes on to the next.
void Router::moveEntryFirst(std::vector<int32_t> &devices, int32_t number) const {
  std::rotate(devices.begin(), devices.begin() + number % devices.size(), devices.end());
  auto entry = std::min_element(devices.begin(), devices.end(),
                                [&](int32_t a, int32_t b) { return entered[a] < entered[b]; });
  std::rotate(devices.begin(), entry, devices.end());
}

double Router::load(int32_t sender, int32_t receiver) const {
  double load = loads.portsOut[sender];
  return network.crosses(sender, receiver) ? std::max(load, loads.cardsOut[network.nodeOf(sender)])
                                           : load;
}

void Router::count(int32_t sender, int32_t receiver) {
  loads.portsOut[sender] += network.portSeconds(partBytes);
  loads.portsIn[receiver] += network.portSeconds(partBytes);
  if (!network.crosses(sender, receiver))
    return;
  loads.cardsOut[network.nodeOf(sender)] += network.cardSeconds(partBytes);
  loads.cardsIn[network.nodeOf(receiver)] += network.cardSeconds(partBytes);
  entered[receiver] += partBytes;
}

/// Adds the hop to `receiver` from the owner that it comes from first (of equals, from the one with
/// least to send), which is the only one in a chain.
Owner Router::hop(std::vector<Owner> &owners, int32_t receiver, LinkClock &clock) {
  const Owner *best = nullptr;
  std::pair<double, double> least;
  for (const Owner &owner : owners) {
    double start = std::max(owner.sinceSeconds, clock.freeSeconds(owner.device, receiver));
    bool crosses = network.crosses(owner.device, receiver);
    std::pair<double, double> key = {start + network.sendSeconds(crosses, partBytes),
                                     load(owner.device, receiver)};
    if (!best || key < least) {
      best = &owner;
      least = key;
    }
  }
  double start = std::max(best->sinceSeconds, clock.freeSeconds(best->device, receiver));
  count(best->device, receiver);
  hops.push_back({partNumber, best->device, receiver, best->hop});
  Owner next = {receiver, static_cast<int32_t>(hops.size()) - 1,
                clock.send(best->device, receiver, partBytes, start)};
  if (shape == RouteShape::Chain)
    owners.clear();
  owners.push_back(next);
  return next;
}

void Router::spread(const std::vector<int32_t> &receivers, std::vector<Owner> owners,
                    LinkClock &clock) {
  for (int32_t receiver : receivers)
    hop(owners, receiver, clock);
}

void Router::route(int32_t number, const Part &part) {
  partNumber = number;
  partBytes = part.bytes;
  LinkClock clock(network);
  const DevicesOfNode holders = byNode(ends[part.slice].holders);
  DevicesOfNode abroad;
  for (auto &[node, receivers] : byNode(ends[part.slice].receivers)) {
    auto here = holders.find(node);
    if (here == holders.end())
      abroad.emplace(node, std::move(receivers));
    else
      spread(receivers, sendersOf({*here}), clock);
  }
  std::vector<Owner> senders = sendersOf(holders);
  std::vector<std::pair<int32_t, Owner>> entries;
  for (int32_t node : nodesInOrder(abroad)) {
    moveEntryFirst(abroad[node], number);
    entries.emplace_back(node, hop(senders, abroad[node].front(), clock));
  }
  for (const auto &[node, entry] : entries)
    spread({abroad[node].begin() + 1, abroad[node].end()}, {entry}, clock);
}

} // namespace

std::vector<SliceEnds> endsOf(const TransferNetwork &network, const std::vector<Slice> &slices) {
  std::vector<SliceEnds> ends;
  for (const Slice &slice : slices) {
    SliceEnds &each = ends.emplace_back();
    for (int32_t device : slice.holders)
      each.holders.push_back(network.indexOf(device));
    for (int32_t device : slice.receivers)
      each.receivers.push_back(network.indexOf(device));
  }
  return ends;
}

std::vector<Hop> routeParts(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
                            const std::vector<Part> &parts, RouteShape shape) {
  auto numNodes = [&](const Part &part) {
    int32_t count = 0, last = -1;
    for (int32_t device : ends[part.slice].holders) {
      count += network.nodeOf(device) != last;
      last = network.nodeOf(device);
    }
    return count;
  };
  std::vector<int32_t> numChoices, order(parts.size());
  for (const Part &part : parts)
    numChoices.push_back(numNodes(part));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::make_pair(numChoices[a], -parts[a].bytes) <
           std::make_pair(numChoices[b], -parts[b].bytes);
  });
  Router router(network, ends, parts, shape);
  for (int32_t part : order)
    router.route(part, parts[part]);
  return router.takeHops();
}

} // namespace alpa
