#include "core/simulate/StepSimulator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace alpa {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// A mesh and the task that it runs, or waits for.
struct Mesh {
  std::vector<int32_t> tasks; ///< in order
  size_t position = 0;
  double endSeconds = kNever; ///< of the task that runs

  bool isIdle() const { return std::isinf(endSeconds); }
};

/// A route and the transfer that is on it.
struct Route {
  std::vector<int32_t> transfers; ///< in order
  size_t position = 0;
  bool isFlowing = false;
  double wakeSeconds = kNever; ///< when latency, or else the data, ends
  // While data flows:
  double sinceSeconds = 0;
  double leftSeconds = 0; ///< alone, from then on
  double speed = 0;

  bool isIdle() const { return !isFlowing && std::isinf(wakeSeconds); }
};

class Simulator {
public:
  explicit Simulator(const StepProblem &problem)
      : problem(problem), sharing(problem.linkBytesPerSecond, problem.routes),
        meshes(problem.numMeshes), routes(problem.routes.size()), numAwaited(problem.tasks.size()),
        isReady(problem.transfers.size()), dependents(problem.tasks.size()),
        sent(problem.tasks.size()), receivers(problem.transfers.size()) {
    result.tasks.resize(problem.tasks.size());
    result.transfers.resize(problem.transfers.size());
    connect();
  }

  SimulatedStep run() {
    while (std::isfinite(now)) {
      while (settle()) {
      }
      if (hasOtherFlows)
        share();
      now = nextSeconds();
    }
    for (const Mesh &mesh : meshes)
      if (mesh.position < mesh.tasks.size())
        result.waitingTasks.push_back(mesh.tasks[mesh.position]);
    return std::move(result);
  }

private:
  void connect();
  bool settle();
  bool settleMesh(Mesh &mesh);
  bool settleRoute(Route &route);
  void endTask(int32_t task);
  void endTransfer(Route &route);
  void recordPiece(const Route &route);
  void share();
  double nextSeconds() const;

  const StepProblem &problem;
  LinkSharing sharing;
  std::vector<Mesh> meshes;
  std::vector<Route> routes;
  std::vector<size_t> numAwaited;               ///< tasks and transfers, by task
  std::vector<char> isReady;                    ///< by transfer: whether what it sends is there
  std::vector<std::vector<int32_t>> dependents; ///< tasks that wait for a task
  std::vector<std::vector<int32_t>> sent;       ///< transfers that wait for a task
  std::vector<std::vector<int32_t>> receivers;  ///< tasks that wait for a transfer
  double now = 0;
  bool hasOtherFlows = false; ///< than those that speeds were found for
  SimulatedStep result;
};

void Simulator::connect() {
  for (size_t number = 0; number < problem.tasks.size(); ++number) {
    const StepTask &task = problem.tasks[number];
    const auto id = static_cast<int32_t>(number);
    meshes[task.mesh].tasks.push_back(id);
    numAwaited[number] = task.afterTasks.size() + task.afterTransfers.size();
    for (int32_t before : task.afterTasks)
      dependents[before].push_back(id);
    for (int32_t before : task.afterTransfers)
      receivers[before].push_back(id);
  }
  for (size_t number = 0; number < problem.transfers.size(); ++number) {
    const StepTransfer &transfer = problem.transfers[number];
    const auto id = static_cast<int32_t>(number);
    routes[transfer.route].transfers.push_back(id);
    isReady[number] = transfer.afterTask < 0;
    if (transfer.afterTask >= 0)
      sent[transfer.afterTask].push_back(id);
  }
}

/// What ends and starts at this instant; whether anything did.
bool Simulator::settle() {
  bool hasMoved = false;
  for (Mesh &mesh : meshes)
    hasMoved |= settleMesh(mesh);
  for (Route &route : routes)
    hasMoved |= settleRoute(route);
  return hasMoved;
}

bool Simulator::settleMesh(Mesh &mesh) {
  if (mesh.position == mesh.tasks.size())
    return false;
  int32_t task = mesh.tasks[mesh.position];
  if (!mesh.isIdle()) {
    if (mesh.endSeconds > now)
      return false;
    mesh.endSeconds = kNever;
    ++mesh.position;
    endTask(task);
    return true;
  }
  if (numAwaited[task] > 0)
    return false;
  mesh.endSeconds = now + problem.tasks[task].seconds;
  result.tasks[task] = {now, mesh.endSeconds};
  return true;
}

void Simulator::endTask(int32_t task) {
  for (int32_t other : dependents[task])
    --numAwaited[other];
  for (int32_t transfer : sent[task]) {
    isReady[transfer] = true;
    result.transfers[transfer].readySeconds = now;
  }
}

bool Simulator::settleRoute(Route &route) {
  if (route.position == route.transfers.size())
    return false;
  int32_t transfer = route.transfers[route.position];
  int32_t number = problem.transfers[transfer].route;
  if (route.isIdle()) {
    if (!isReady[transfer])
      return false;
    result.transfers[transfer].startSeconds = now;
    route.wakeSeconds = now + problem.routes[number].latencySeconds;
    return true;
  }
  if (route.wakeSeconds > now)
    return false;
  hasOtherFlows = true;
  if (!route.isFlowing) {
    double seconds = sharing.aloneSeconds(number, problem.transfers[transfer].bytes);
    route.isFlowing = true;
    route.sinceSeconds = now;
    route.leftSeconds = seconds;
    route.speed = 0;
    route.wakeSeconds = seconds > 0 ? kNever : now;
    return true;
  }
  endTransfer(route);
  return true;
}

void Simulator::endTransfer(Route &route) {
  int32_t transfer = route.transfers[route.position];
  recordPiece(route);
  result.transfers[transfer].endSeconds = now;
  for (int32_t task : receivers[transfer])
    --numAwaited[task];
  route.isFlowing = false;
  route.wakeSeconds = kNever;
  ++route.position;
}

void Simulator::recordPiece(const Route &route) {
  if (route.sinceSeconds < now)
    result.pieces.push_back(
        {route.transfers[route.position], route.sinceSeconds, now, route.speed});
}

/// New speeds for all that flows. A transfer whose speed stays is left alone, so that its end is
/// not rounded anew.
void Simulator::share() {
  std::vector<char> isActive(routes.size());
  for (size_t number = 0; number < routes.size(); ++number)
    isActive[number] = routes[number].isFlowing;
  std::vector<double> speeds = sharing.speeds(isActive);
  for (size_t number = 0; number < routes.size(); ++number) {
    Route &route = routes[number];
    if (!route.isFlowing || route.speed == speeds[number])
      continue;
    recordPiece(route);
    route.leftSeconds = std::max(0.0, route.leftSeconds - (now - route.sinceSeconds) * route.speed);
    route.sinceSeconds = now;
    route.speed = speeds[number];
    route.wakeSeconds = now + route.leftSeconds / route.speed;
  }
  hasOtherFlows = false;
}

double Simulator::nextSeconds() const {
  double next = kNever;
  for (const Mesh &mesh : meshes)
    next = std::min(next, mesh.endSeconds);
  for (const Route &route : routes)
    next = std::min(next, route.wakeSeconds);
  return next;
}

void checkAmount(const std::string &what, double amount) {
  if (!std::isfinite(amount) || amount < 0)
    throw std::invalid_argument(what + ": expected a finite number of at least 0, got " +
                                std::to_string(amount));
}

void checkIndex(const std::string &what, int32_t index, size_t size) {
  if (index < 0 || static_cast<size_t>(index) >= size)
    throw std::invalid_argument(what + ": expected a number below " + std::to_string(size) +
                                ", got " + std::to_string(index));
}

} // namespace

void StepProblem::check() const {
  for (size_t number = 0; number < tasks.size(); ++number) {
    const std::string name = "task " + std::to_string(number);
    checkIndex("mesh of " + name, tasks[number].mesh, std::max(numMeshes, 0));
    checkAmount("seconds of " + name, tasks[number].seconds);
    for (int32_t before : tasks[number].afterTasks)
      checkIndex("task before " + name, before, tasks.size());
    for (int32_t before : tasks[number].afterTransfers)
      checkIndex("transfer before " + name, before, transfers.size());
  }
  for (size_t number = 0; number < transfers.size(); ++number) {
    const std::string name = "transfer " + std::to_string(number);
    checkIndex("route of " + name, transfers[number].route, routes.size());
    checkAmount("bytes of " + name, transfers[number].bytes);
    if (transfers[number].afterTask != -1)
      checkIndex("task before " + name, transfers[number].afterTask, tasks.size());
  }
  for (size_t number = 0; number < routes.size(); ++number)
    checkAmount("latency of route " + std::to_string(number), routes[number].latencySeconds);
}

SimulatedStep simulateStep(const StepProblem &problem) {
  problem.check();
  return Simulator(problem).run();
}

} // namespace alpa
