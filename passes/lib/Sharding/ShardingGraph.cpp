// What is read off a sharding graph: the sharding problem, the predicted collectives, and the
// shardings written into the IR.

#include "alpa/Sharding/ShardingGraph.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"
#include <cmath>

namespace alpa {
namespace {

constexpr double kPicosecondsPerSecond = 1e12;

int64_t picoseconds(double seconds) {
  return static_cast<int64_t>(std::llround(seconds * kPicosecondsPerSecond));
}

} // namespace

const Sharding &ShardingGraph::produced(const Flow &flow, int strategy) const {
  return allVertices[flow.producer].strategies[strategy].results[flow.result];
}

const Sharding &ShardingGraph::consumed(const Flow &flow, int strategy) const {
  const Vertex &consumer = allVertices[flow.consumer];
  const Strategy &chosen = consumer.strategies[strategy];
  return consumer.kind == Vertex::Kind::Op ? chosen.operands[flow.operand] : chosen.results[0];
}

ShardingProblem ShardingGraph::problem() const {
  ShardingProblem problem;
  for (const Vertex &vertex : allVertices) {
    ShardingNode node;
    node.interval = vertex.live;
    node.usages = vertex.usages;
    for (const Strategy &strategy : vertex.strategies)
      node.costs.push_back(picoseconds(strategy.seconds * vertex.multiplicity));
    problem.nodes.push_back(std::move(node));
  }

  for (const Flow &flow : allFlows) {
    const ReshardTable &table = tables->of(flow.value.getType());
    auto numbers = [&](int vertex, auto sharding) {
      std::vector<int> result;
      for (size_t s = 0; s < allVertices[vertex].strategies.size(); ++s)
        result.push_back(table.indexOf((this->*sharding)(flow, static_cast<int>(s))));
      return result;
    };
    const std::vector<int> from = numbers(flow.producer, &ShardingGraph::produced);
    const std::vector<int> to = numbers(flow.consumer, &ShardingGraph::consumed);
    auto cost = [&](int p, int c) {
      return picoseconds(table.seconds(from[p], to[c]) * flow.multiplicity);
    };

    if (flow.producer == flow.consumer) { // a loop that carries a value on unchanged
      for (size_t s = 0; s < from.size(); ++s)
        problem.nodes[flow.producer].costs[s] += cost(s, s);
      continue;
    }
    ShardingEdge edge{flow.producer, flow.consumer, {}};
    edge.costs.reserve(from.size() * to.size());
    bool isFree = true;
    for (size_t p = 0; p < from.size(); ++p)
      for (size_t c = 0; c < to.size(); ++c) {
        edge.costs.push_back(cost(p, c));
        isFree = isFree && edge.costs.back() == 0;
      }
    if (!isFree)
      problem.edges.push_back(std::move(edge));
  }
  if (shardingTarget.device.memoryBytes > 0)
    problem.usageLimit = shardingTarget.device.memoryBytes;
  return problem;
}

llvm::StringRef ShardingGraph::phaseOf(mlir::Operation *op) const {
  mlir::Block &body = func->getRegion(0).front();
  auto phase = body.findAncestorOpInBlock(*op)->getAttrOfType<mlir::StringAttr>(kPhaseAttr);
  return phase ? phase.getValue() : llvm::StringRef();
}

llvm::StringRef ShardingGraph::phaseOf(const Vertex &vertex) const {
  return vertex.kind == Vertex::Kind::Argument ? "update" : phaseOf(vertex.op);
}

std::vector<PredictedCollective> ShardingGraph::collectives(llvm::ArrayRef<int> choices) const {
  std::vector<PredictedCollective> result;
  auto add = [&](const Collective &collective, double seconds, double count, mlir::Operation *op,
                 std::string reason) {
    result.push_back({collective, count, seconds * count, op, std::move(reason)});
  };
  for (auto [vertex, choice] : llvm::zip(allVertices, choices))
    for (const Collective &collective : vertex.strategies[choice].collectives)
      add(collective, seconds(collective, shardingTarget.mesh), vertex.multiplicity, vertex.op,
          "partial sums of " + vertex.strategies[choice].name);

  // Readers that want a value in the same sharding share the reshard, as the annotated module does.
  // Phases become programs of their own, which share nothing.
  std::map<std::pair<const void *, llvm::StringRef>, std::vector<Sharding>> done;
  for (const Flow &flow : allFlows) {
    std::vector<Sharding> &reached =
        done[{flow.value.getAsOpaquePointer(), phaseOf(allVertices[flow.consumer])}];
    const Sharding &from = produced(flow, choices[flow.producer]);
    for (const ReshardStep &step :
         tables->of(flow.value.getType()).route(from, consumed(flow, choices[flow.consumer]))) {
      if (llvm::is_contained(reached, step.target))
        continue;
      reached.push_back(step.target);
      if (!step.isLocal())
        add(step.collective, step.seconds, flow.multiplicity, allVertices[flow.consumer].op,
            "reshard to " + step.target.str(static_cast<int>(shapeOf(flow.value.getType()).size()),
                                            shardingTarget.mesh));
    }
  }
  return result;
}

std::map<std::string, double> ShardingGraph::phaseSeconds(llvm::ArrayRef<int> choices) const {
  std::map<std::string, double> result;
  for (auto [vertex, choice] : llvm::zip(allVertices, choices))
    if (vertex.kind != Vertex::Kind::Argument)
      result[phaseOf(vertex).str()] += vertex.strategies[choice].seconds * vertex.multiplicity;
  for (const Flow &flow : allFlows) {
    const ReshardTable &table = tables->of(flow.value.getType());
    const double seconds = table.seconds(table.indexOf(produced(flow, choices[flow.producer])),
                                         table.indexOf(consumed(flow, choices[flow.consumer])));
    result[phaseOf(allVertices[flow.consumer]).str()] += seconds * flow.multiplicity;
  }
  return result;
}

std::map<std::string, int64_t>
ShardingGraph::phaseTemporaryBytes(llvm::ArrayRef<int> choices) const {
  auto isWithin = [&](const Vertex &vertex, llvm::StringRef phase) {
    return !phase.empty() && llvm::all_of(vertex.op->getUsers(), [&](mlir::Operation *user) {
      return phaseOf(user) == phase;
    });
  };
  std::map<std::string, std::map<int64_t, int64_t>> changes; // of bytes in use, by time
  for (auto [vertex, choice] : llvm::zip(allVertices, choices)) {
    if (vertex.kind == Vertex::Kind::Argument)
      continue;
    const llvm::StringRef phase = phaseOf(vertex);
    if (!isWithin(vertex, phase))
      continue;
    changes[phase.str()][vertex.live.begin] += vertex.usages[choice];
    changes[phase.str()][vertex.live.end] -= vertex.usages[choice];
  }
  std::map<std::string, int64_t> result;
  for (const auto &[phase, ofPhase] : changes) {
    int64_t used = 0;
    for (auto [time, change] : ofPhase) {
      used += change;
      result[phase] = std::max(result[phase], used);
    }
  }
  return result;
}

void ShardingGraph::write(llvm::ArrayRef<int> choices) {
  writeMesh(func->getParentOfType<mlir::ModuleOp>(), shardingTarget.mesh, shardingTarget.device);
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<Sharding>> carried;
  for (auto [vertex, choice] : llvm::zip(allVertices, choices)) {
    const Strategy &strategy = vertex.strategies[choice];
    switch (vertex.kind) {
    case Vertex::Kind::Argument:
      writeArgument(func, vertex.index, strategy.results[0], shardingTarget.mesh);
      break;
    case Vertex::Kind::Op:
      writeOperands(vertex.op, strategy.operands, shardingTarget.mesh);
      writeResults(vertex.op, strategy.results, shardingTarget.mesh);
      break;
    case Vertex::Kind::Carried:
      carried[vertex.op].push_back(strategy.results[0]); // in order of the index
      break;
    }
  }
  for (const auto &[op, shardings] : carried)
    writeResults(op, shardings, shardingTarget.mesh);
}

} // namespace alpa
