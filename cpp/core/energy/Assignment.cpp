#include "core/energy/Assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace alpa {
namespace {

constexpr double kRounding = 1e-12; // of seconds, relative to the deadline
constexpr size_t kMostExactComputations = 24;
constexpr int64_t kMostExactVisits = 300'000;
constexpr int kMostPasses = 4;
constexpr size_t kMostExchanged = 1200; // computations: exchanges cost the square of their number

/// A choice that none beats in both seconds and effective energy.
struct Rung {
  int32_t choice;
  double seconds, joules;
};

/// Fastest first, so that each is slower and cheaper than the one before.
std::vector<Rung> ladderOf(const ComputationKind &kind, double watts) {
  std::vector<Rung> all, ladder;
  for (size_t i = 0; i < kind.choices.size(); ++i)
    all.push_back({static_cast<int32_t>(i), kind.choices[i].seconds,
                   effectiveJoules(kind.choices[i], watts)});
  std::sort(all.begin(), all.end(), [](const Rung &a, const Rung &b) {
    return a.seconds != b.seconds ? a.seconds < b.seconds : a.joules < b.joules;
  });
  for (const Rung &rung : all)
    if (ladder.empty() || rung.joules < ladder.back().joules)
      ladder.push_back(rung);
  return ladder;
}

/// The state of the search: a rung per computation, with times.
class Search {
public:
  Search(const EnergyProblem &problem, double deadlineSeconds)
      : problem(problem), deadline(deadlineSeconds), order(topologicalOrder(problem)),
        before(order.size()), after(order.size()), begin(order.size()), tail(order.size()) {
    for (auto [first, second] : problem.dependencies) {
      after[first].push_back(second);
      before[second].push_back(first);
    }
    std::map<std::pair<int32_t, double>, int32_t> known;
    for (const Computation &computation : problem.computations) {
      double watts = problem.wattsOf(computation);
      auto [entry, isNew] = known.try_emplace({computation.kind, watts}, ladders.size());
      if (isNew)
        ladders.push_back(ladderOf(problem.kinds[computation.kind], watts));
      ladderIndex.push_back(entry->second);
    }
    rungs.assign(order.size(), 0);
  }

  void climbTo(const std::vector<int32_t> &choices);
  void meetDeadline();
  void fillSlack();
  void exchange();
  bool solveExactly(double waitingWatts);
  Assignment result();
  double makespan() {
    setTimes();
    return length;
  }
  void setDeadline(double seconds) { deadline = seconds; }

private:
  const std::vector<Rung> &ladder(size_t i) const { return ladders[ladderIndex[i]]; }
  const Rung &rung(size_t i) const { return ladder(i)[rungs[i]]; }
  bool isSlowest(size_t i) const { return rungs[i] + 1 == ladder(i).size(); }
  double room() const { return deadline * (1 + kRounding); }
  double saved(size_t i) const { return rung(i).joules - ladder(i)[rungs[i] + 1].joules; }
  double longer(size_t i) const { return ladder(i)[rungs[i] + 1].seconds - rung(i).seconds; }
  double joules() const;
  void setTimes();
  size_t bestSlower() const;
  void visit(size_t depth, double joulesSoFar, double lengthSoFar);

  const EnergyProblem &problem;
  double deadline;
  std::vector<int32_t> order;
  std::vector<std::vector<int32_t>> before, after;
  std::vector<std::vector<Rung>> ladders;
  std::vector<int32_t> ladderIndex;
  std::vector<size_t> rungs;
  std::vector<double> begin, tail; ///< earliest start; longest way from there to the end
  double length = 0;
  // Of the exact search:
  std::vector<double> leastAfter, fastestTail, ends;
  std::vector<size_t> bestRungs;
  double bestJoules = 0, waitingWatts = 0;
  int64_t visitsLeft = 0;
};

double Search::joules() const {
  double sum = 0;
  for (size_t i = 0; i < rungs.size(); ++i)
    sum += rung(i).joules;
  return sum;
}

void Search::setTimes() {
  length = 0;
  for (int32_t i : order) {
    begin[i] = 0;
    for (int32_t j : before[i])
      begin[i] = std::max(begin[i], begin[j] + rung(j).seconds);
    length = std::max(length, begin[i] + rung(i).seconds);
  }
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    tail[*i] = 0;
    for (int32_t j : after[*i])
      tail[*i] = std::max(tail[*i], tail[j]);
    tail[*i] += rung(*i).seconds;
  }
}

/// The slowest rungs that are no slower than the choices.
void Search::climbTo(const std::vector<int32_t> &choices) {
  for (size_t i = 0; i < rungs.size(); ++i) {
    double seconds = problem.kinds[problem.computations[i].kind].choices[choices[i]].seconds;
    rungs[i] = 0;
    while (!isSlowest(i) && ladder(i)[rungs[i] + 1].seconds <= seconds)
      ++rungs[i];
  }
}

/// On the longest way, where a second costs least.
void Search::meetDeadline() {
  for (setTimes(); length > room(); setTimes()) {
    size_t best = rungs.size();
    double least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < rungs.size(); ++i) {
      if (rungs[i] == 0 || begin[i] + tail[i] < length * (1 - kRounding))
        continue;
      const Rung &faster = ladder(i)[rungs[i] - 1];
      double price = (faster.joules - rung(i).joules) / (rung(i).seconds - faster.seconds);
      if (price < least)
        least = price, best = i;
    }
    if (best == rungs.size())
      return; // all are at their fastest
    --rungs[best];
  }
}

/// The computation that saves most per second if it takes the next slower rung; none fits: the
/// number of computations.
size_t Search::bestSlower() const {
  size_t best = rungs.size();
  double most = 0;
  for (size_t i = 0; i < rungs.size(); ++i)
    if (!isSlowest(i) && begin[i] + tail[i] + longer(i) <= room() && saved(i) / longer(i) > most)
      most = saved(i) / longer(i), best = i;
  return best;
}

void Search::fillSlack() {
  for (setTimes();; setTimes()) {
    size_t best = bestSlower();
    if (best == rungs.size())
      return;
    ++rungs[best];
  }
}

/// One computation a rung faster, others slower by the time that frees, if that is cheaper.
void Search::exchange() {
  if (rungs.size() > kMostExchanged)
    return;
  bool hasImproved = true;
  for (int pass = 0; pass < kMostPasses && hasImproved; ++pass) {
    hasImproved = false;
    for (size_t i = 0; i < rungs.size(); ++i) {
      if (rungs[i] == 0)
        continue;
      std::vector<size_t> kept = rungs;
      double joulesBefore = joules();
      --rungs[i];
      fillSlack();
      if (joules() < joulesBefore - 1e-9)
        hasImproved = true;
      else
        rungs = kept;
    }
  }
}

/// Tries the rungs of the computation at this depth of the order, the slowest first.
void Search::visit(size_t depth, double joulesSoFar, double lengthSoFar) {
  if (visitsLeft-- <= 0)
    return;
  if (depth == order.size()) {
    double total = joulesSoFar + waitingWatts * lengthSoFar;
    if (total < bestJoules - 1e-12)
      bestJoules = total, bestRungs = rungs;
    return;
  }
  int32_t i = order[depth];
  double start = 0;
  for (int32_t j : before[i])
    start = std::max(start, ends[j]);
  for (size_t k = ladder(i).size(); k-- > 0;) {
    rungs[i] = k;
    ends[i] = start + rung(i).seconds;
    double least = std::max(lengthSoFar, ends[i] + fastestTail[i]);
    double spent = joulesSoFar + rung(i).joules;
    if (least <= room() && spent + leastAfter[depth + 1] + waitingWatts * least < bestJoules)
      visit(depth + 1, spent, least);
  }
}

/// Depth first with bounds, beginning from what is known; false if it is too much.
bool Search::solveExactly(double watts) {
  if (order.size() > kMostExactComputations || makespan() > room())
    return false;
  waitingWatts = watts, visitsLeft = kMostExactVisits;
  bestJoules = joules() + watts * length, bestRungs = rungs;
  leastAfter.assign(order.size() + 1, 0);
  for (size_t depth = order.size(); depth-- > 0;)
    leastAfter[depth] = leastAfter[depth + 1] + ladder(order[depth]).back().joules;
  ends.assign(order.size(), 0);
  rungs.assign(order.size(), 0);
  setTimes();
  for (size_t i = 0; i < order.size(); ++i)
    fastestTail.push_back(tail[i] - rung(i).seconds);
  visit(0, 0, 0);
  rungs = bestRungs;
  return visitsLeft > 0;
}

Assignment Search::result() {
  setTimes();
  Assignment assignment{{}, length, joules(), false};
  for (size_t i = 0; i < rungs.size(); ++i)
    assignment.choices.push_back(rung(i).choice);
  return assignment;
}

double total(const Assignment &assignment, double watts) {
  return assignment.effectiveJoules + watts * assignment.makespanSeconds;
}

} // namespace

std::vector<int32_t> roundToChoices(const EnergyProblem &problem,
                                    const std::vector<int32_t> &units) {
  std::map<std::pair<int32_t, double>, std::vector<CandidateChoice>> known;
  std::vector<int32_t> choices;
  for (size_t i = 0; i < units.size(); ++i) {
    const Computation &computation = problem.computations[i];
    double watts = problem.wattsOf(computation);
    auto [entry, isNew] = known.try_emplace({computation.kind, watts});
    const std::vector<CandidateChoice> &candidates =
        isNew ? entry->second = candidateChoices(problem.kinds[computation.kind], watts, problem)
              : entry->second;
    auto fits = std::find_if(candidates.begin(), candidates.end() - 1,
                             [&](const CandidateChoice &c) { return c.units <= units[i]; });
    choices.push_back(fits->choice);
  }
  return choices;
}

std::vector<int32_t> fastestChoices(const EnergyProblem &problem) {
  Search search(problem, 0);
  return search.result().choices;
}

Assignment assignChoices(const EnergyProblem &problem, const std::vector<int32_t> &start,
                         double deadlineSeconds, Horizon horizon) {
  double watts = horizon == Horizon::Makespan ? problem.totalBlockingWatts() : 0;
  Search search(problem, deadlineSeconds);
  search.climbTo(start);
  search.meetDeadline();
  // More time is not always worth what devices draw in it: the length as it is, then the deadline.
  double startSeconds = search.makespan();
  search.setDeadline(std::min(startSeconds, deadlineSeconds));
  search.fillSlack();
  Assignment best = search.result();
  search.setDeadline(deadlineSeconds);
  search.fillSlack();
  search.exchange();
  Assignment longer = search.result();
  if (total(longer, watts) < total(best, watts))
    best = longer;
  search.climbTo(best.choices);
  bool isOptimal = search.solveExactly(watts);
  best = search.result();
  best.isOptimal = isOptimal;
  return best;
}

} // namespace alpa
