// What a choice keeps in memory: the values in their shardings, and the copies that reshards make.

#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ShardingGraph.h"
#include <algorithm>
#include <limits>

namespace alpa {
namespace {

/// Bytes in use over time.
class Usage {
public:
  void add(Interval live, int64_t bytes) {
    if (live.begin >= live.end || bytes == 0)
      return;
    changes[live.begin] += bytes;
    changes[live.end] -= bytes;
  }
  int64_t peak() const {
    int64_t used = 0, most = 0;
    for (auto [time, change] : changes)
      most = std::max(most, used += change);
    return most;
  }

private:
  std::map<int64_t, int64_t> changes;
};

} // namespace

/// A copy exists from its first reader to its last, one on the way to others while the first of
/// those begins. Slices are taken by whoever reads them.
void ShardingGraph::forEachCopy(const Flow &flow, llvm::ArrayRef<int> choices,
                                llvm::function_ref<void(Interval, int64_t)> count) const {
  const ReshardTree tree = treeOf(flow, choices);
  std::vector<Interval> live(tree.steps.size(), {std::numeric_limits<int64_t>::max(), 0});
  auto extend = [](Interval &interval, int64_t begin, int64_t end) {
    interval.begin = std::min(interval.begin, begin);
    interval.end = std::max(interval.end, end);
  };
  for (auto [reader, arrival] : llvm::zip(flow.readers, tree.arrivals)) {
    if (arrival < 0)
      continue;
    extend(live[arrival], reader.live.begin, reader.live.end);
    for (int at = tree.steps[arrival].from; at >= 0; at = tree.steps[at].from)
      extend(live[at], reader.live.begin, reader.live.begin + 1);
  }
  for (auto [step, interval] : llvm::zip(tree.steps, live))
    if (!step.step.isLocal())
      count(interval, bytes(flow.type) / step.step.target.numShards(shardingTarget.mesh));
}

/// What waits for the last of its group exists whole until then, and what comes of it not before.
/// That of the last itself is as short-lived as that of a reduction that runs alone, and left out.
void ShardingGraph::forEachWaiting(
    llvm::ArrayRef<int> choices,
    llvm::function_ref<void(const Vertex &, Interval, int64_t)> count) const {
  for (auto [vertex, choice, time] : llvm::zip(allVertices, choices, reductionTimes(choices)))
    if (time > vertex.live.begin) {
      const Collective &collective = vertex.strategies[choice].collectives.front();
      const bool isInPlace = collective.kind == CollectiveKind::AllReduce;
      count(vertex, {isInPlace ? vertex.live.end : vertex.live.begin, time + 1}, collective.bytes);
    }
}

int64_t ShardingGraph::peakBytes(llvm::ArrayRef<int> choices) const {
  Usage usage;
  for (auto [vertex, choice] : llvm::zip(allVertices, choices))
    usage.add(vertex.live, vertex.usages[choice]);
  for (const Flow &flow : allFlows)
    forEachCopy(flow, choices, [&](Interval live, int64_t bytes) { usage.add(live, bytes); });
  forEachWaiting(choices,
                 [&](const Vertex &, Interval live, int64_t bytes) { usage.add(live, bytes); });
  return usage.peak();
}

/// What a microbatch has for sums over all of them (`alpa.accumulate`) is there until it is added.
/// Of a single microbatch, it is the sum.
llvm::DenseSet<mlir::Operation *> ShardingGraph::findPartsOfSums() const {
  llvm::DenseSet<mlir::Operation *> parts;
  mlir::FunctionOpInterface func = this->func; // whose accessors are not const
  if (integerOf(func->getAttr(kNumMicrobatchesAttr)).value_or(1) == 1)
    return parts;
  for (auto [i, value] : llvm::enumerate(func.getFunctionBody().front().back().getOperands()))
    if (func.getResultAttr(i, kAccumulateAttr) && value.getDefiningOp())
      parts.insert(value.getDefiningOp());
  return parts;
}

std::map<std::string, int64_t>
ShardingGraph::phaseTemporaryBytes(llvm::ArrayRef<int> choices) const {
  const llvm::DenseSet<mlir::Operation *> partsOfSums = findPartsOfSums();
  auto isWithin = [&](const Vertex &vertex, llvm::StringRef phase) {
    return !phase.empty() && llvm::all_of(vertex.op->getUsers(), [&](mlir::Operation *user) {
      return phaseNameOf(topLevel(user)) == phase;
    });
  };
  std::map<std::string, Usage> usages;
  for (auto [vertex, choice] : llvm::zip(allVertices, choices)) {
    if (vertex.kind == Vertex::Kind::Argument)
      continue;
    const llvm::StringRef phase = phaseNameOf(topLevel(vertex.op));
    if (isWithin(vertex, phase))
      usages[phase.str()].add(vertex.live, vertex.usages[choice]);
    else if (partsOfSums.contains(vertex.op))
      usages[phase.str()].add({vertex.live.begin, vertex.live.begin + 1}, vertex.usages[choice]);
  }
  for (const Flow &flow : allFlows)
    if (!flow.phase.empty())
      forEachCopy(flow, choices,
                  [&](Interval live, int64_t bytes) { usages[flow.phase.str()].add(live, bytes); });
  forEachWaiting(choices, [&](const Vertex &vertex, Interval live, int64_t bytes) {
    if (partsOfSums.contains(vertex.op)) // which is added once it is reduced
      live.begin = std::min(live.begin, vertex.live.begin + 1);
    usages[phaseNameOf(vertex.op).str()].add(live, bytes);
  });
  std::map<std::string, int64_t> result;
  for (const auto &[phase, usage] : usages)
    result[phase] = usage.peak();
  return result;
}

} // namespace alpa
