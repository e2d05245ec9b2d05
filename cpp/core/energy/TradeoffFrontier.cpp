#include "core/energy/TradeoffFrontier.h"

#include <algorithm>
#include <cmath>

namespace alpa {
namespace {

constexpr int64_t kUnbounded = int64_t{1} << 60;
constexpr double kPerJoule = 1e9;

/// Nanojoules that each unit saves, from the fastest on: never rising, never negative.
std::vector<int64_t> savings(const CostCurve &curve) {
  std::vector<int64_t> saved;
  int64_t before = kUnbounded - 1;
  for (size_t i = 0; i + 1 < curve.joules.size(); ++i) {
    int64_t exact = std::llround((curve.joules[i] - curve.joules[i + 1]) * kPerJoule);
    before = std::clamp<int64_t>(exact, 0, before);
    saved.push_back(before);
  }
  return saved;
}

/// Activities are arcs, as in the paper: computation i is arc i, the other arcs take no time.
class Solver {
public:
  Solver(const EnergyProblem &problem, const std::vector<CostCurve> &curves)
      : curves(curves), numComputations(curves.size()) {
    makeNodes();
    makeArcs(problem);
    setEarliestTimes(topologicalOrder(problem));
  }

  TradeoffFrontier run() {
    frontier.slowestUnits = times[kSink];
    addPoint();
    while (augmentToMaximum()) {
      cut();
      addPoint();
    }
    return std::move(frontier);
  }

private:
  struct Arc {
    int32_t from, to;
    int32_t units = 0;
    int64_t flow = 0;
    int64_t lower = 0, upper = kUnbounded; ///< saving of a unit slower, cost of a unit faster
  };
  struct Incidence {
    int32_t arc;
    bool isForward;
  };

  static constexpr int32_t kSource = 0, kSink = 1;
  int32_t beginOf(size_t computation) const { return static_cast<int32_t>(2 + 2 * computation); }
  int32_t endOf(size_t computation) const { return beginOf(computation) + 1; }

  void makeNodes();
  void makeArcs(const EnergyProblem &problem);
  void addArc(int32_t from, int32_t to);
  void setEarliestTimes(const std::vector<int32_t> &order);
  void setBounds(size_t computation);
  bool isTight(const Arc &arc) const { return times[arc.to] - times[arc.from] == arc.units; }
  int64_t residual(const Arc &arc, bool isForward) const {
    return isForward ? arc.upper - arc.flow : arc.flow - arc.lower;
  }
  bool findWay();
  bool push();
  bool augmentToMaximum();
  void change(size_t computation, int32_t more);
  void cut();
  void addPoint();

  const std::vector<CostCurve> &curves;
  const size_t numComputations;
  std::vector<std::vector<int64_t>> saved; ///< per computation
  std::vector<Arc> arcs;
  std::vector<std::vector<Incidence>> arcsOf;
  std::vector<int32_t> times; ///< of nodes: a feasible schedule
  std::vector<Incidence> cameBy;
  std::vector<int64_t> room; ///< of the way to a node; 0 where none was found
  std::vector<int32_t> queue;
  long double joules = 0;
  TradeoffFrontier frontier;
};

void Solver::makeNodes() {
  arcsOf.resize(2 + 2 * numComputations);
  times.assign(arcsOf.size(), 0);
  cameBy.resize(arcsOf.size());
  room.resize(arcsOf.size());
  for (const CostCurve &curve : curves)
    saved.push_back(savings(curve));
}

void Solver::addArc(int32_t from, int32_t to) {
  arcsOf[from].push_back({static_cast<int32_t>(arcs.size()), true});
  arcsOf[to].push_back({static_cast<int32_t>(arcs.size()), false});
  Arc arc;
  arc.from = from, arc.to = to;
  arcs.push_back(arc);
}

void Solver::makeArcs(const EnergyProblem &problem) {
  for (size_t i = 0; i < numComputations; ++i) {
    addArc(beginOf(i), endOf(i));
    arcs[i].units = curves[i].maxUnits();
    setBounds(i);
    joules += curves[i].at(arcs[i].units);
    frontier.slowest.push_back(arcs[i].units);
  }
  std::vector<std::pair<int32_t, int32_t>> dependencies = problem.dependencies;
  std::sort(dependencies.begin(), dependencies.end());
  dependencies.erase(std::unique(dependencies.begin(), dependencies.end()), dependencies.end());
  std::vector<char> isFirst(numComputations, true), isLast(numComputations, true);
  for (auto [before, after] : dependencies) {
    addArc(endOf(before), beginOf(after));
    isLast[before] = isFirst[after] = false;
  }
  for (size_t i = 0; i < numComputations; ++i) {
    if (isFirst[i])
      addArc(kSource, beginOf(i));
    if (isLast[i])
      addArc(endOf(i), kSink);
  }
}

void Solver::setEarliestTimes(const std::vector<int32_t> &order) {
  auto settle = [&](int32_t node) {
    for (Incidence incidence : arcsOf[node])
      if (const Arc &arc = arcs[incidence.arc]; !incidence.isForward)
        times[node] = std::max(times[node], times[arc.from] + arc.units);
  };
  for (int32_t computation : order) {
    settle(beginOf(computation));
    settle(endOf(computation));
  }
  settle(kSink);
}

void Solver::setBounds(size_t computation) {
  Arc &arc = arcs[computation];
  size_t faster = arc.units - curves[computation].minUnits; // units above the fastest
  const std::vector<int64_t> &unitSavings = saved[computation];
  arc.upper = faster == 0 ? kUnbounded : unitSavings[faster - 1];
  arc.lower = faster == unitSavings.size() ? 0 : unitSavings[faster];
}

/// Breadth first over what the flow leaves free on tight arcs, until the sink is reached.
bool Solver::findWay() {
  std::fill(room.begin(), room.end(), 0);
  queue.assign(1, kSource);
  room[kSource] = kUnbounded;
  for (size_t i = 0; i < queue.size(); ++i)
    for (Incidence incidence : arcsOf[queue[i]]) {
      const Arc &arc = arcs[incidence.arc];
      int32_t node = incidence.isForward ? arc.to : arc.from;
      if (room[node] > 0 || !isTight(arc))
        continue;
      int64_t free = residual(arc, incidence.isForward);
      if (free <= 0)
        continue;
      room[node] = std::min(room[queue[i]], free);
      cameBy[node] = incidence;
      if (node == kSink)
        return true;
      queue.push_back(node);
    }
  return false;
}

/// False if the way has no bound: nothing on it can get faster.
bool Solver::push() {
  int64_t amount = room[kSink];
  if (amount >= kUnbounded / 2)
    return false;
  for (int32_t node = kSink; node != kSource;) {
    Arc &arc = arcs[cameBy[node].arc];
    arc.flow += cameBy[node].isForward ? amount : -amount;
    node = cameBy[node].isForward ? arc.from : arc.to;
  }
  return true;
}

/// Afterwards the source's side of a minimum cut is what `findWay` reached; false if there is none.
bool Solver::augmentToMaximum() {
  while (findWay())
    if (!push())
      return false;
  return true;
}

void Solver::change(size_t computation, int32_t more) {
  Arc &arc = arcs[computation];
  joules += curves[computation].at(arc.units + more) - curves[computation].at(arc.units);
  arc.units += more;
  setBounds(computation);
  frontier.changes.emplace_back(static_cast<int32_t>(computation), more);
}

/// Arcs that only touch a side keep their place: the sink's side moves as one.
void Solver::cut() {
  for (size_t i = 0; i < numComputations; ++i) {
    const Arc &arc = arcs[i];
    bool isFromSource = room[arc.from] > 0, isToSource = room[arc.to] > 0;
    if (isFromSource == isToSource || !isTight(arc))
      continue;
    if (isFromSource)
      change(i, -1);
    else if (arc.units < curves[i].maxUnits())
      change(i, 1);
  }
  for (size_t node = 0; node < times.size(); ++node)
    times[node] -= room[node] == 0;
}

void Solver::addPoint() {
  frontier.joules.push_back(static_cast<double>(joules));
  frontier.endOfChanges.push_back(frontier.changes.size());
}

} // namespace

std::vector<int32_t> TradeoffFrontier::unitsAt(size_t point) const {
  std::vector<int32_t> units = slowest;
  for (size_t i = 0; i < endOfChanges.at(point); ++i)
    units[changes[i].first] += changes[i].second;
  return units;
}

TradeoffFrontier solveTradeoff(const EnergyProblem &problem, const std::vector<CostCurve> &curves) {
  return Solver(problem, curves).run();
}

} // namespace alpa
