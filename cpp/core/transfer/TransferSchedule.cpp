#include "core/transfer/TransferSchedule.h"

#include <algorithm>
#include <tuple>

namespace alpa {
namespace {

class ListScheduler {
public:
  ListScheduler(const TransferNetwork &network, const std::vector<Part> &parts,
                const std::vector<Hop> &hops, HopRule rule);
  HopSchedule run();

private:
  double seconds(const Hop &hop) const {
    return network.sendSeconds(network.crosses(hop.sender, hop.receiver), parts[hop.part].bytes);
  }
  double urgency(int32_t hop) const;
  void addLoad(const Hop &hop, double sign);
  size_t pickNext() const;

  const TransferNetwork &network;
  const std::vector<Part> &parts;
  const std::vector<Hop> &hops;
  HopRule rule;
  LinkClock clock;
  LinkTable remaining;                       ///< what links have still to carry
  std::vector<double> tails;                 ///< per hop: the longest way from its begin to the end
  std::vector<std::vector<int32_t>> waiting; ///< per hop: those that it brings the part to
  std::vector<std::pair<int32_t, double>> ready; ///< hops whose sender has the part, since when
};

ListScheduler::ListScheduler(const TransferNetwork &network, const std::vector<Part> &parts,
                             const std::vector<Hop> &hops, HopRule rule)
    : network(network), parts(parts), hops(hops), rule(rule), clock(network), remaining(network),
      tails(hops.size(), 0), waiting(hops.size()) {
  for (int32_t i = static_cast<int32_t>(hops.size()) - 1; i >= 0; --i) {
    tails[i] += seconds(hops[i]);
    addLoad(hops[i], 1);
    if (hops[i].before >= 0)
      tails[hops[i].before] = std::max(tails[hops[i].before], tails[i]);
  }
  for (int32_t i = 0; i < static_cast<int32_t>(hops.size()); ++i)
    if (hops[i].before < 0)
      ready.emplace_back(i, 0.0);
    else
      waiting[hops[i].before].push_back(i);
}

void ListScheduler::addLoad(const Hop &hop, double sign) {
  double port = sign * network.portSeconds(parts[hop.part].bytes);
  double card = sign * network.cardSeconds(parts[hop.part].bytes);
  remaining.portsOut[hop.sender] += port;
  remaining.portsIn[hop.receiver] += port;
  if (network.crosses(hop.sender, hop.receiver)) {
    remaining.cardsOut[network.nodeOf(hop.sender)] += card;
    remaining.cardsIn[network.nodeOf(hop.receiver)] += card;
  }
}

double ListScheduler::urgency(int32_t hop) const {
  if (rule == HopRule::LongestTail)
    return tails[hop];
  return remaining.most(network, hops[hop].sender, hops[hop].receiver);
}

size_t ListScheduler::pickNext() const {
  using Key = std::tuple<double, double, int32_t>;
  size_t best = 0;
  Key least;
  for (size_t i = 0; i < ready.size(); ++i) {
    auto [hop, since] = ready[i];
    double start = std::max(since, clock.freeSeconds(hops[hop].sender, hops[hop].receiver));
    if (i > 0 && start > std::get<0>(least))
      continue;
    Key key = {start, -urgency(hop), hop};
    if (i == 0 || key < least) {
      best = i;
      least = key;
    }
  }
  return best;
}

HopSchedule ListScheduler::run() {
  HopSchedule schedule;
  while (!ready.empty()) {
    size_t next = pickNext();
    auto [number, since] = ready[next];
    ready[next] = ready.back();
    ready.pop_back();
    const Hop &hop = hops[number];
    double start = std::max(since, clock.freeSeconds(hop.sender, hop.receiver));
    double arrival = clock.send(hop.sender, hop.receiver, parts[hop.part].bytes, start);
    addLoad(hop, -1);
    schedule.hops.push_back({hop.part, hop.sender, hop.receiver, start});
    schedule.makespanSeconds = std::max(schedule.makespanSeconds, arrival);
    for (int32_t after : waiting[number])
      ready.emplace_back(after, arrival);
  }
  return schedule;
}

} // namespace

HopSchedule scheduleHops(const TransferNetwork &network, const std::vector<Part> &parts,
                         const std::vector<Hop> &hops, HopRule rule) {
  return ListScheduler(network, parts, hops, rule).run();
}

} // namespace alpa
