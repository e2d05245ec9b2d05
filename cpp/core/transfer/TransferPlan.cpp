#include "core/transfer/TransferPlan.h"

#include "core/transfer/TransferBound.h"
#include "core/transfer/TransferSchedule.h"
#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

namespace alpa {
namespace {

// Of more, one way is made in place of the best of several; a part more saves little by then.
constexpr size_t kMaxHops = 2048;

// All orders of more hops are not tried.
constexpr size_t kMaxSearchedHops = 8;

// Sums of floats in another order differ by less.
constexpr double kSame = 1e-12;

struct Candidate {
  std::vector<Part> parts;
  HopSchedule schedule;
  int64_t crossingBytes = 0;
  bool isProven = false;

  bool isNone() const { return schedule.hops.empty(); }
};

class Planner {
public:
  Planner(const TransferProblem &problem, const TransferOptions &options)
      : problem(problem), options(options), network(problem), slices(findSlices(problem)),
        ends(endsOf(network, slices)), bound(boundSeconds(network, problem, slices)),
        leastBytes(leastCrossingBytes(problem, slices)) {}

  TransferPlan plan();

private:
  bool meetsBound(double seconds) const { return seconds <= bound * (1 + kSame); }
  bool isDone() const {
    return meetsBound(best.schedule.makespanSeconds) && best.crossingBytes == leastBytes;
  }
  int64_t elementsOfLargest() const;
  int64_t mostParts() const;
  std::vector<Part> cut(int64_t numParts) const;
  size_t numHops(const std::vector<Part> &parts) const;
  void keepIfBetter(const std::vector<Part> &parts, HopSchedule schedule, bool isProven);
  void tryRoutes(const std::vector<Part> &parts);
  void tryAllOrders(const std::vector<Part> &parts);
  TransferPlan describe() const;

  const TransferProblem &problem;
  const TransferOptions &options;
  TransferNetwork network;
  std::vector<Slice> slices;
  std::vector<SliceEnds> ends;
  double bound;
  int64_t leastBytes; ///< that must cross
  Candidate best;
};

int64_t Planner::elementsOfLargest() const {
  int64_t most = 0;
  for (const Slice &slice : slices)
    most = std::max(most, numElements(slice.tile));
  return most;
}

/// Parts that are through a link sooner than its latency gain nothing.
int64_t Planner::mostParts() const {
  int64_t most = 1;
  bool crosses = false;
  for (const Slice &slice : slices)
    for (int32_t holder : slice.holders)
      for (int32_t receiver : slice.receivers)
        crosses |= problem.nodeOf(holder) != problem.nodeOf(receiver);
  const int64_t mostElements = elementsOfLargest();
  double seconds = network.sendSeconds(crosses, static_cast<double>(mostElements) *
                                                    static_cast<double>(problem.elementBytes));
  double latency = network.latency(crosses);
  while (2 * most <= std::min(options.maxParts, mostElements) &&
         (seconds - latency) / static_cast<double>(2 * most) >= latency)
    most *= 2;
  return most;
}

/// The largest slices in so many parts, others in parts of about that size.
std::vector<Part> Planner::cut(int64_t numParts) const {
  const int64_t partElements = (elementsOfLargest() + numParts - 1) / numParts;
  std::vector<Part> parts;
  for (int32_t number = 0; number < static_cast<int32_t>(slices.size()); ++number) {
    int64_t size = numElements(slices[number].tile);
    int64_t count = (size + partElements - 1) / partElements;
    for (int64_t i = 0; i < count; ++i) {
      // Of sizes below 2^60 and some 64 parts: quotient and rest apart do not overflow.
      int64_t begin = size / count * i + size % count * i / count;
      int64_t end = size / count * (i + 1) + size % count * (i + 1) / count;
      parts.push_back(
          {number, begin, end, static_cast<double>((end - begin) * problem.elementBytes)});
    }
  }
  return parts;
}

size_t Planner::numHops(const std::vector<Part> &parts) const {
  size_t count = 0;
  for (const Part &part : parts)
    count += ends[part.slice].receivers.size();
  return count;
}

/// The faster, or of equals the one that sends less between nodes.
void Planner::keepIfBetter(const std::vector<Part> &parts, HopSchedule schedule, bool isProven) {
  int64_t crossingBytes = 0;
  for (const TimedHop &hop : schedule.hops)
    if (network.crosses(hop.sender, hop.receiver))
      crossingBytes += (parts[hop.part].end - parts[hop.part].begin) * problem.elementBytes;
  const double seconds = schedule.makespanSeconds, known = best.schedule.makespanSeconds;
  if (best.isNone() || seconds < known * (1 - kSame) ||
      (seconds <= known * (1 + kSame) && crossingBytes < best.crossingBytes))
    best = {parts, std::move(schedule), crossingBytes, isProven};
}

void Planner::tryRoutes(const std::vector<Part> &parts) {
  const size_t numAll = numHops(parts);
  for (RouteShape shape : {RouteShape::Chain, RouteShape::Tree}) {
    // With one receiver each, there is nothing to hand on.
    if (shape == RouteShape::Tree && (isDone() || numAll == parts.size()))
      return;
    std::vector<Hop> hops = routeParts(network, ends, parts, shape);
    for (HopRule rule : {HopRule::LongestTail, HopRule::BusiestLink}) {
      keepIfBetter(parts, scheduleHops(network, parts, hops, rule), false);
      if (isDone() || numAll > kMaxHops)
        return;
    }
  }
}

void Planner::tryAllOrders(const std::vector<Part> &parts) {
  const double known = best.schedule.makespanSeconds;
  if (meetsBound(known) || numHops(parts) > kMaxSearchedHops)
    return;
  HopSearch search = searchHops(network, ends, parts, known, options.maxSearchStates);
  if (!search.best.hops.empty())
    keepIfBetter(parts, std::move(search.best), search.isProven);
  else if (best.parts.size() == parts.size())
    best.isProven = search.isProven;
}

TransferPlan Planner::plan() {
  if (slices.empty())
    return describe();
  const int64_t most = mostParts();
  for (int64_t numParts = 1; numParts <= most; numParts *= 2) {
    std::vector<Part> parts = cut(numParts);
    if (numParts > 1 && numHops(parts) > kMaxHops)
      break;
    tryRoutes(parts);
    tryAllOrders(parts);
    if (isDone())
      break;
  }
  return describe();
}

TransferPlan Planner::describe() const {
  TransferPlan plan;
  plan.slices = slices;
  for (const TimedHop &hop : best.schedule.hops) {
    const Part &part = best.parts[hop.part];
    plan.sends.push_back({part.slice, part.begin, part.end, network.device(hop.sender),
                          network.device(hop.receiver), hop.startSeconds});
  }
  plan.makespanSeconds = best.schedule.makespanSeconds;
  plan.boundSeconds = bound;
  plan.isOptimal = best.isProven || meetsBound(plan.makespanSeconds);
  plan.crossingBytes = best.crossingBytes;
  plan.leastCrossingBytes = leastBytes;
  return plan;
}

/// What devices have of slices, and since when.
class Arrivals {
public:
  explicit Arrivals(const std::vector<Slice> &slices) : slices(slices) {}

  /// When the sender has all of it; throws where it never has.
  double readySeconds(size_t number, const Send &send) const;
  void add(const Send &send, double seconds) {
    ranges[{send.receiver, send.slice}].push_back({send.begin, send.end, seconds});
  }

private:
  struct Range {
    int64_t begin, end;
    double seconds;
  };
  const std::vector<Slice> &slices;
  std::map<std::pair<int32_t, int32_t>, std::vector<Range>> ranges;
};

double Arrivals::readySeconds(size_t number, const Send &send) const {
  const std::vector<int32_t> &holders = slices.at(send.slice).holders;
  if (std::find(holders.begin(), holders.end(), send.sender) != holders.end())
    return 0;
  double ready = 0;
  int64_t has = 0;
  if (auto entry = ranges.find({send.sender, send.slice}); entry != ranges.end())
    for (const Range &range : entry->second)
      if (range.begin < send.end && send.begin < range.end) {
        has += std::min(range.end, send.end) - std::max(range.begin, send.begin);
        ready = std::max(ready, range.seconds);
      }
  if (has < send.end - send.begin)
    throw std::invalid_argument("send " + std::to_string(number) + ": expected device " +
                                std::to_string(send.sender) + " to have " +
                                std::to_string(send.end - send.begin) + " elements, got " +
                                std::to_string(has));
  return ready;
}

} // namespace

double timeSends(const TransferProblem &problem, const std::vector<Slice> &slices,
                 std::vector<Send> &sends) {
  TransferNetwork network(problem);
  LinkClock clock(network);
  Arrivals arrivals(slices);
  double makespan = 0;
  for (size_t number = 0; number < sends.size(); ++number) {
    Send &send = sends[number];
    double ready = arrivals.readySeconds(number, send);
    int32_t sender = network.indexOf(send.sender), receiver = network.indexOf(send.receiver);
    send.startSeconds = std::max(ready, clock.freeSeconds(sender, receiver));
    auto bytes = static_cast<double>((send.end - send.begin) * problem.elementBytes);
    double arrival = clock.send(sender, receiver, bytes, send.startSeconds);
    arrivals.add(send, arrival);
    makespan = std::max(makespan, arrival);
  }
  return makespan;
}

TransferPlan planTransfer(const TransferProblem &problem, const TransferOptions &options) {
  return Planner(problem, options).plan();
}

} // namespace alpa
