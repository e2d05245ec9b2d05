#include "core/transfer/TransferSchedule.h"

#include <algorithm>
#include <limits>

namespace alpa {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// Sums of floats in another order differ by less.
constexpr double kSame = 1e-12;

/// A part that a device wants.
struct Want {
  int32_t part = 0;
  int32_t receiver = 0;
};

/// Depth first over sends in the order in which they begin. Every schedule can be made one in which
/// each send begins as soon as its sender has the part and those before it leave its links, and in
/// which none begins before the one listed before it: so these are all.
class Search {
public:
  Search(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
         const std::vector<Part> &parts, double knownSeconds, int64_t maxStates);
  HopSearch run();

private:
  void descend(const LinkClock &clock, double lastStart, int32_t lastWant, double makespan);
  double bound(const LinkClock &clock) const;

  const TransferNetwork &network;
  const std::vector<Part> &parts;
  int64_t statesLeft;
  double bestSeconds;
  std::vector<Want> wants;
  std::vector<bool> isMet;                ///< per want
  std::vector<std::vector<double>> since; ///< per part and device
  std::vector<TimedHop> path;
  HopSearch result;
};

Search::Search(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
               const std::vector<Part> &parts, double knownSeconds, int64_t maxStates)
    : network(network), parts(parts), statesLeft(maxStates), bestSeconds(knownSeconds) {
  for (int32_t part = 0; part < static_cast<int32_t>(parts.size()); ++part) {
    const SliceEnds &each = ends[parts[part].slice];
    since.emplace_back(network.numDevices(), kNever);
    for (int32_t device : each.holders)
      since[part][device] = 0;
    for (int32_t device : each.receivers)
      wants.push_back({part, device});
  }
  isMet.assign(wants.size(), false);
}

/// Each port still takes what its device wants, each card what no device of the node has.
double Search::bound(const LinkClock &clock) const {
  std::vector<double> ports(network.numDevices(), 0), cards(network.numNodes(), 0);
  int32_t countedPart = -1;
  std::vector<bool> isHere;
  for (size_t i = 0; i < wants.size(); ++i) {
    auto [part, receiver] = wants[i];
    if (part != countedPart) {
      countedPart = part;
      isHere.assign(network.numNodes(), false);
      for (int32_t device = 0; device < network.numDevices(); ++device)
        if (since[part][device] < kNever)
          isHere[network.nodeOf(device)] = true;
    }
    if (isMet[i])
      continue;
    ports[receiver] += network.portSeconds(parts[part].bytes);
    int32_t node = network.nodeOf(receiver);
    if (!isHere[node])
      cards[node] += network.cardSeconds(parts[part].bytes);
    isHere[node] = true;
  }
  double most = 0;
  const LinkTable &busy = clock.busyUntil();
  double latency = std::min(network.latency(false), network.latency(true));
  for (int32_t device = 0; device < network.numDevices(); ++device)
    if (ports[device] > 0)
      most = std::max(most, busy.portsIn[device] + ports[device] + latency);
  for (int32_t node = 0; node < network.numNodes(); ++node)
    if (cards[node] > 0)
      most = std::max(most, busy.cardsIn[node] + cards[node] + network.latency(true));
  return most;
}

void Search::descend(const LinkClock &clock, double lastStart, int32_t lastWant, double makespan) {
  if (--statesLeft < 0)
    return;
  if (path.size() == wants.size()) {
    bestSeconds = makespan;
    result.best = {path, makespan};
    return;
  }
  for (int32_t i = 0; i < static_cast<int32_t>(wants.size()); ++i) {
    if (isMet[i])
      continue;
    auto [part, receiver] = wants[i];
    for (int32_t sender = 0; sender < network.numDevices(); ++sender) {
      if (since[part][sender] == kNever)
        continue;
      double start = std::max(since[part][sender], clock.freeSeconds(sender, receiver));
      // Sends that begin at the same time share no link: one order of them is enough.
      if (start < lastStart || (start == lastStart && i < lastWant))
        continue;
      LinkClock next = clock;
      double arrival = next.send(sender, receiver, parts[part].bytes, start);
      isMet[i] = true;
      since[part][receiver] = arrival;
      path.push_back({part, sender, receiver, start});
      double end = std::max(makespan, arrival);
      if (std::max(end, bound(next)) < bestSeconds * (1 - kSame))
        descend(next, start, i, end);
      path.pop_back();
      since[part][receiver] = kNever;
      isMet[i] = false;
    }
  }
}

HopSearch Search::run() {
  descend(LinkClock(network), 0, -1, 0);
  result.isProven = statesLeft >= 0;
  return std::move(result);
}

} // namespace

HopSearch searchHops(const TransferNetwork &network, const std::vector<SliceEnds> &ends,
                     const std::vector<Part> &parts, double knownSeconds, int64_t maxStates) {
  return Search(network, ends, parts, knownSeconds, maxStates).run();
}

} // namespace alpa
