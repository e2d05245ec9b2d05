#include "core/transfer/VerifyTransfer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

namespace alpa {
namespace {

// Of times, relative to the makespan.
constexpr double kTolerance = 1e-9;

[[noreturn]] void fail(const std::string &where, const std::string &relation) {
  throw std::logic_error(where + ": expected " + relation);
}

std::string nameOf(size_t send) { return "send " + std::to_string(send); }

/// Elements of a slice that a device has received.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  double arrivalSeconds = 0;
};

struct Window {
  double start = 0;
  double end = 0;
  size_t send = 0;
};

struct LinkLog {
  std::vector<Window> windows;
  int64_t bytes = 0;
};

class Verifier {
public:
  Verifier(const TransferProblem &problem, const TransferPlan &plan);
  TransferReplay run();

private:
  void checkSlices() const;
  void checkForm(size_t number) const;
  void replaySend(size_t number);
  void checkHas(size_t number) const;
  void receive(size_t number, double arrival);
  void checkComplete() const;
  void checkLinks();
  void checkClaims() const;
  bool holds(int32_t device, const Tile &tile) const;

  const TransferProblem &problem;
  const TransferPlan &plan;
  double tolerance;
  std::map<int32_t, Tile> owned, wanted;
  std::map<std::pair<int32_t, int32_t>, std::vector<Range>> received; ///< by device and slice
  std::map<std::pair<std::string, int32_t>, LinkLog> log;
  TransferReplay replay;
};

Verifier::Verifier(const TransferProblem &problem, const TransferPlan &plan)
    : problem(problem), plan(plan), tolerance(kTolerance * plan.makespanSeconds) {
  for (const DeviceTile &entry : problem.source)
    owned[entry.device] = entry.tile;
  for (const DeviceTile &entry : problem.target)
    wanted[entry.device] = entry.tile;
}

bool Verifier::holds(int32_t device, const Tile &tile) const {
  auto entry = owned.find(device);
  return entry != owned.end() && overlap(entry->second, tile) == tile;
}

void Verifier::checkSlices() const {
  for (size_t a = 0; a < plan.slices.size(); ++a)
    for (size_t b = a + 1; b < plan.slices.size(); ++b)
      if (numElements(overlap(plan.slices[a].tile, plan.slices[b].tile)) > 0)
        fail("slice " + std::to_string(b), "nothing in common with slice " + std::to_string(a));
}

void Verifier::checkForm(size_t number) const {
  const Send &send = plan.sends[number];
  if (send.slice < 0 || send.slice >= static_cast<int32_t>(plan.slices.size()))
    fail(nameOf(number), "a slice below " + std::to_string(plan.slices.size()));
  if (send.begin < 0 || send.begin >= send.end ||
      send.end > numElements(plan.slices[send.slice].tile))
    fail(nameOf(number), "elements of its slice, got " + std::to_string(send.begin) + ":" +
                             std::to_string(send.end));
  for (int32_t device : {send.sender, send.receiver})
    if (!owned.count(device) && !wanted.count(device))
      fail(nameOf(number), "devices of the problem, got " + std::to_string(device));
  if (send.sender == send.receiver)
    fail(nameOf(number), "two devices, got " + std::to_string(send.sender));
  if (!(send.startSeconds >= 0))
    fail(nameOf(number), "a start of at least 0");
}

/// That the sender has all the elements when the send begins.
void Verifier::checkHas(size_t number) const {
  const Send &send = plan.sends[number];
  if (holds(send.sender, plan.slices[send.slice].tile))
    return;
  int64_t has = 0;
  if (auto entry = received.find({send.sender, send.slice}); entry != received.end())
    for (const Range &range : entry->second)
      if (range.arrivalSeconds <= send.startSeconds + tolerance)
        has +=
            std::max<int64_t>(0, std::min(range.end, send.end) - std::max(range.begin, send.begin));
  if (has != send.end - send.begin)
    fail(nameOf(number), "device " + std::to_string(send.sender) + " to have " +
                             std::to_string(send.end - send.begin) + " elements by " +
                             text(send.startSeconds) + " s, got " + std::to_string(has));
}

void Verifier::receive(size_t number, double arrival) {
  const Send &send = plan.sends[number];
  std::vector<Range> &ranges = received[{send.receiver, send.slice}];
  bool isNew = !holds(send.receiver, plan.slices[send.slice].tile);
  for (const Range &range : ranges)
    isNew &= range.end <= send.begin || send.end <= range.begin;
  if (!isNew)
    fail(nameOf(number), "elements that device " + std::to_string(send.receiver) + " has not");
  ranges.push_back({send.begin, send.end, arrival});
}

void Verifier::replaySend(size_t number) {
  const Send &send = plan.sends[number];
  checkForm(number);
  checkHas(number);
  const int64_t bytes = (send.end - send.begin) * problem.elementBytes;
  auto use = [&](const char *link, int32_t id, const Link &rate) {
    LinkLog &entry = log[{link, id}];
    double seconds = static_cast<double>(bytes) / rate.bytesPerSecond;
    entry.windows.push_back({send.startSeconds, send.startSeconds + seconds, number});
    entry.bytes += bytes;
    return seconds;
  };
  const MeshLinks &links = problem.links;
  double seconds = use("port out", send.sender, links.intraNode);
  seconds = std::max(seconds, use("port in", send.receiver, links.intraNode));
  double latency = links.intraNode.latencySeconds;
  if (int32_t from = problem.nodeOf(send.sender), to = problem.nodeOf(send.receiver); from != to) {
    seconds = std::max(seconds, use("card out", from, links.interNode));
    seconds = std::max(seconds, use("card in", to, links.interNode));
    latency = links.interNode.latencySeconds;
    replay.crossingBytes += bytes;
  }
  double arrival = send.startSeconds + seconds + latency;
  receive(number, arrival);
  replay.makespanSeconds = std::max(replay.makespanSeconds, arrival);
}

/// Slices are disjoint and parts of them come once: a tile is complete if the counts agree.
void Verifier::checkComplete() const {
  for (const auto &[device, tile] : wanted) {
    auto own = owned.find(device);
    int64_t has = own == owned.end() ? 0 : numElements(overlap(own->second, tile));
    for (auto entry = received.lower_bound({device, 0});
         entry != received.end() && entry->first.first == device; ++entry) {
      const Tile &slice = plan.slices[entry->first.second].tile;
      if (overlap(slice, tile) != slice)
        continue; // handed on only
      for (const Range &range : entry->second)
        has += range.end - range.begin;
    }
    if (has != numElements(tile))
      fail("device " + std::to_string(device),
           std::to_string(numElements(tile)) + " elements, got " + std::to_string(has));
  }
}

void Verifier::checkLinks() {
  for (auto &[link, entry] : log) {
    std::sort(entry.windows.begin(), entry.windows.end(),
              [](const Window &a, const Window &b) { return a.start < b.start; });
    double busy = 0;
    for (size_t i = 0; i < entry.windows.size(); ++i) {
      const Window &window = entry.windows[i];
      busy += window.end - window.start;
      if (i > 0 && window.start < entry.windows[i - 1].end - tolerance)
        fail(link.first + " of " + std::to_string(link.second),
             "one send at a time, got " + nameOf(entry.windows[i - 1].send) + " and " +
                 nameOf(window.send) + " at " + text(window.start) + " s");
    }
    replay.links.push_back({link.first, link.second, entry.bytes, busy});
  }
}

void Verifier::checkClaims() const {
  if (std::abs(replay.makespanSeconds - plan.makespanSeconds) > tolerance)
    fail("makespan", text(replay.makespanSeconds) + " s, got " + text(plan.makespanSeconds));
  if (!(plan.boundSeconds <= plan.makespanSeconds + tolerance))
    fail("bound", "at most the makespan, got " + text(plan.boundSeconds) + " s");
  if (replay.crossingBytes != plan.crossingBytes)
    fail("crossing bytes",
         std::to_string(replay.crossingBytes) + ", got " + std::to_string(plan.crossingBytes));
  if (plan.leastCrossingBytes > plan.crossingBytes)
    fail("least crossing bytes", "at most the crossing bytes, got " +
                                     std::to_string(plan.leastCrossingBytes) + " and " +
                                     std::to_string(plan.crossingBytes));
}

TransferReplay Verifier::run() {
  if (!std::isfinite(plan.makespanSeconds)) // which tolerances are relative to
    fail("makespan", "a finite one, got " + text(plan.makespanSeconds) + " s");
  checkSlices();
  for (size_t number = 0; number < plan.sends.size(); ++number)
    replaySend(number);
  checkComplete();
  checkLinks();
  checkClaims();
  return std::move(replay);
}

} // namespace

TransferReplay verifyTransfer(const TransferProblem &problem, const TransferPlan &plan) {
  return Verifier(problem, plan).run();
}

} // namespace alpa
