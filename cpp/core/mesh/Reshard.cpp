// ReshardTable: steps of one sharding, and Dijkstra's algorithm over them.

#include "core/mesh/Reshard.h"
#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <stdexcept>

namespace alpa {

/// The sum of as many as there are steps in a route is finite.
constexpr double kMaxStepSeconds = 1e300;

namespace {

int64_t bytesOf(const std::vector<int64_t> &shape, int64_t elementBytes) {
  return std::accumulate(shape.begin(), shape.end(), elementBytes, std::multiplies<int64_t>());
}

} // namespace

double transposeSeconds(const Sharding &sharding, int dim, const std::vector<int64_t> &shape,
                        int64_t elementBytes, const DeviceMesh &mesh, const DeviceSpec &device) {
  bool isMajor = true;
  for (int before = 0; before < dim; ++before)
    isMajor = isMajor && shape[before] == sharding.shardsOf(before, mesh);
  if (isMajor || !device.hasReduceScatter)
    return 0;
  const int64_t written = bytesOf(shape, elementBytes) / sharding.numShards(mesh);
  return 2 * static_cast<double>(written) / device.memoryBytesPerSecond; // read and written
}

ReshardTable::ReshardTable(std::vector<int64_t> tensorShape, int64_t elementBytes,
                           const DeviceMesh &mesh, const DeviceSpec &device)
    : shape(std::move(tensorShape)), elementBytes(elementBytes),
      tensorBytes(bytesOf(shape, elementBytes)), mesh(mesh), device(device) {
  shardings = allShardings(shape, mesh, /*allOrders=*/true);
  for (size_t i = 0; i < shardings.size(); ++i)
    indices[shardings[i]] = static_cast<int>(i);
  for (const Sharding &sharding : shardings) {
    steps.push_back(stepsFrom(sharding));
    stepTargets.emplace_back();
    for (const ReshardStep &step : steps.back())
      stepTargets.back().push_back(indexOf(step.target));
  }
  reached.resize(shardings.size());
}

int ReshardTable::indexOf(const Sharding &sharding) const {
  auto found = indices.find(sharding);
  if (found == indices.end())
    throw std::invalid_argument("expected a sharding that divides the tensor, got " +
                                sharding.str(static_cast<int>(shape.size()), mesh));
  return found->second;
}

/// Adds the step, if the tensor can lie so.
void ReshardTable::addStep(std::vector<ReshardStep> &to, const Sharding &target,
                           Collective collective, double transposeSeconds) {
  if (!divides(target, shape, mesh))
    return;
  ReshardStep step{target, collective, 0};
  // Every step reads and writes its piece; a local slice does nothing else.
  const double written = static_cast<double>(tensorBytes / target.numShards(mesh));
  step.seconds = alpa::seconds(step.collective, mesh) + 2 * written / device.memoryBytesPerSecond +
                 transposeSeconds;
  // Routes by links so slow that it never ends are found like any other.
  step.seconds = std::min(step.seconds, kMaxStepSeconds);
  slowestStep = std::max(slowestStep, step.seconds);
  to.push_back(step);
}

std::vector<ReshardStep> ReshardTable::stepsFrom(const Sharding &from) {
  std::vector<ReshardStep> found;
  addSlices(found, from);
  for (int dim = 0; dim < rank(); ++dim)
    addGathers(found, from, dim);
  addPermutes(found, from);
  return found;
}

/// Free axes become minor axes of a dim.
void ReshardTable::addSlices(std::vector<ReshardStep> &to, const Sharding &from) {
  for (int axis = 0; axis < mesh.numAxes(); ++axis)
    if (from.dimOf(axis) < 0 && mesh.axes()[axis].size > 1)
      for (int dim = 0; dim < rank(); ++dim) {
        Sharding target = from;
        target.append(dim, axis);
        addStep(to, target, {CollectiveKind::AllGather, 0, 0});
      }
}

/// The minor axes of `dim` leave it, and arrive nowhere (a gather) or, in the same order, at
/// another dim (an all-to-all).
void ReshardTable::addGathers(std::vector<ReshardStep> &to, const Sharding &from, int dim) {
  const int64_t localBytes = tensorBytes / from.numShards(mesh);
  auto transposed = [&](const Sharding &sharding, int along) {
    return transposeSeconds(sharding, along, shape, elementBytes, mesh, device);
  };
  Sharding gathered = from;
  std::vector<int> moved; // minor first
  AxisSet axes = 0;
  for (int axis; (axis = gathered.removeMinor(dim)) >= 0;) {
    moved.push_back(axis);
    axes |= AxisSet(1) << axis;
    addStep(to, gathered, {CollectiveKind::AllGather, axes, tensorBytes / gathered.numShards(mesh)},
            transposed(gathered, dim));
    for (int other = 0; other < rank(); ++other) {
      if (other == dim)
        continue;
      Sharding target = gathered;
      for (auto it = moved.rbegin(); it != moved.rend(); ++it)
        target.append(other, *it);
      addStep(to, target, {CollectiveKind::AllToAll, axes, localBytes},
              transposed(from, other) + transposed(target, dim));
    }
  }
}

/// The same pieces on other devices.
void ReshardTable::addPermutes(std::vector<ReshardStep> &to, const Sharding &from) {
  const int64_t localBytes = tensorBytes / from.numShards(mesh);
  for (const Sharding &target : shardings) {
    if (target == from)
      continue;
    AxisSet axes = 0;
    bool samePieces = true;
    for (int dim = 0; dim < rank() && samePieces; ++dim)
      samePieces = from.shardsOf(dim, mesh) == target.shardsOf(dim, mesh);
    for (int axis = 0; axis < mesh.numAxes(); ++axis)
      if (from.dimOf(axis) >= 0 || target.dimOf(axis) >= 0)
        axes |= AxisSet(1) << axis;
    if (samePieces)
      addStep(to, target, {CollectiveKind::CollectivePermute, axes, localBytes});
  }
}

const std::vector<ReshardTable::Reached> &ReshardTable::routesFrom(int source) const {
  std::vector<Reached> &all = reached[source];
  if (!all.empty())
    return all;

  all.resize(shardings.size(), {std::numeric_limits<double>::infinity(), -1, nullptr});
  all[source].seconds = 0;
  using Entry = std::pair<double, int>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  queue.push({0, source});
  while (!queue.empty()) {
    const auto [distance, at] = queue.top();
    queue.pop();
    if (distance > all[at].seconds)
      continue;
    for (size_t i = 0; i < steps[at].size(); ++i) {
      const int next = stepTargets[at][i];
      const double total = distance + steps[at][i].seconds;
      if (total < all[next].seconds) {
        all[next] = {total, at, &steps[at][i]};
        queue.push({total, next});
      }
    }
  }
  return all;
}

std::vector<ReshardStep> ReshardTable::route(const Sharding &from, const Sharding &to) const {
  const std::vector<Reached> &all = routesFrom(indexOf(from));
  std::vector<ReshardStep> route;
  for (int at = indexOf(to); all[at].previous >= 0; at = all[at].previous)
    route.insert(route.begin(), *all[at].step);
  return route;
}

bool ReshardTable::isOneStep(const Sharding &from, const Sharding &to) const {
  if (from == to)
    return true;
  const std::vector<int> &targets = stepTargets[indexOf(from)];
  return std::find(targets.begin(), targets.end(), indexOf(to)) != targets.end();
}

} // namespace alpa
