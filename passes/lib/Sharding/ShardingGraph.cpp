// What is read off a sharding graph for one choice: collectives, seconds and bytes, and the
// shardings written into the IR.

#include "alpa/Sharding/ShardingGraph.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Phase.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"

namespace alpa {

llvm::StringRef phaseNameOf(mlir::Operation *op) {
  const std::optional<Phase> phase = phaseOf(op);
  return phase ? name(*phase) : llvm::StringRef();
}

const Sharding &ShardingGraph::produced(const Flow &flow, int strategy) const {
  return allVertices[flow.producer].strategies[strategy].results[flow.result];
}

const Sharding &ShardingGraph::consumed(const Reader &reader, int strategy) const {
  const Vertex &vertex = allVertices[reader.vertex];
  const Strategy &chosen = vertex.strategies[strategy];
  return vertex.kind == Vertex::Kind::Op ? chosen.operands[reader.operand] : chosen.results[0];
}

ReshardTree ShardingGraph::treeOf(const Flow &flow, llvm::ArrayRef<int> choices) const {
  std::vector<Sharding> wanted;
  for (const Reader &reader : flow.readers)
    wanted.push_back(consumed(reader, choices[reader.vertex]));
  return reshardTree(tables->of(flow.type), produced(flow, choices[flow.producer]), wanted);
}

std::vector<PredictedCollective> ShardingGraph::collectives(llvm::ArrayRef<int> choices) const {
  std::vector<PredictedCollective> result;
  auto add = [&](const Collective &collective, double seconds, double count, mlir::Operation *op,
                 llvm::StringRef phase, std::string reason) {
    result.push_back({collective, count, seconds * count, op, phase.str(), std::move(reason)});
  };
  const llvm::DenseSet<mlir::Operation *> partsOfSums = findPartsOfSums();
  for (auto [vertex, choice] : llvm::zip(allVertices, choices)) {
    const Strategy &strategy = vertex.strategies[choice];
    const char *when = strategy.unreduced                ? ", once per step"
                       : partsOfSums.contains(vertex.op) ? ", in every microbatch"
                                                         : "";
    for (const Collective &collective : strategy.collectives)
      add(collective, alpa::seconds(collective, shardingTarget.mesh),
          vertex.reductionRuns(strategy), vertex.op,
          strategy.unreduced ? name(Phase::Update) : phaseNameOf(topLevel(vertex.op)),
          "partial sums of " + strategy.name + when);
  }

  for (const Flow &flow : allFlows) {
    const ReshardTree tree = treeOf(flow, choices);
    const int rank = static_cast<int>(shapeOf(flow.value.getType()).size());
    std::vector<bool> isListed(tree.steps.size());
    for (auto [reader, arrival] : llvm::zip(flow.readers, tree.arrivals)) {
      llvm::SmallVector<int> way; // steps that no reader before this one needed, the last first
      for (int at = arrival; at >= 0 && !isListed[at]; at = tree.steps[at].from)
        way.push_back(at);
      for (int at : llvm::reverse(way)) {
        const ReshardStep &step = tree.steps[at].step;
        isListed[at] = true;
        if (!step.isLocal())
          add(step.collective, step.seconds, flow.runs, allVertices[reader.vertex].op, flow.phase,
              "reshard to " + step.target.str(rank, shardingTarget.mesh));
      }
    }
  }
  return result;
}

ShardingGraph::Seconds ShardingGraph::seconds(llvm::ArrayRef<int> choices) const {
  Seconds result;
  for (auto [vertex, choice] : llvm::zip(allVertices, choices)) {
    const Strategy &strategy = vertex.strategies[choice];
    double sums = 0;
    for (const Collective &collective : strategy.collectives)
      sums += alpa::seconds(collective, shardingTarget.mesh);
    result.collectives += sums * vertex.reductionRuns(strategy);
    result.compute += vertex.seconds(strategy) - sums * vertex.reductionRuns(strategy);
  }
  for (const Flow &flow : allFlows)
    for (const ReshardTree::Step &step : treeOf(flow, choices).steps)
      (step.step.isLocal() ? result.copies : result.collectives) += step.step.seconds * flow.runs;
  return result;
}

std::map<std::string, double> ShardingGraph::phaseSeconds(llvm::ArrayRef<int> choices) const {
  std::map<std::string, double> result;
  for (auto [vertex, choice] : llvm::zip(allVertices, choices))
    if (vertex.kind != Vertex::Kind::Argument) {
      const Strategy &strategy = vertex.strategies[choice];
      const double once = strategy.unreduced ? strategy.reductionSeconds : 0;
      result[phaseNameOf(topLevel(vertex.op)).str()] += vertex.seconds(strategy) - once;
      if (once > 0)
        result[name(Phase::Update).str()] += once;
    }
  for (const Flow &flow : allFlows)
    result[flow.phase.str()] += treeOf(flow, choices).seconds() * flow.runs;
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
      if (strategy.unreduced)
        writeUnreduced(vertex.op, strategy.unreduced, shardingTarget.mesh);
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
