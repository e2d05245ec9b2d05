// Restricts strategies to data parallelism, ZeRO-2 or ZeRO-3.

#include "alpa/Sharding/StrategySpace.h"
#include "alpa/Analysis/ArgumentRoles.h"
#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/Sharding/ShardingGraph.h"
#include "llvm/ADT/StringExtras.h"
#include <functional>

namespace alpa {
namespace {

/// Keeps the strategies of the highest score. A user's fixed choice is the only strategy left and
/// stays.
void keepBest(Vertex &vertex, llvm::function_ref<int64_t(const Strategy &)> score) {
  int64_t best = 0;
  for (const Strategy &strategy : vertex.strategies)
    best = std::max(best, score(strategy));
  std::vector<Strategy> kept;
  for (Strategy &strategy : vertex.strategies)
    if (score(strategy) == best)
      kept.push_back(std::move(strategy));
  vertex.strategies = std::move(kept);
}

class Restriction {
public:
  Restriction(const BatchDims &batch, StrategySpace space, const DeviceMesh &mesh)
      : batch(batch), space(space), mesh(mesh) {}

  void restrictArgument(Vertex &vertex, ArgumentRole role) const {
    switch (role) {
    case ArgumentRole::Batch:
      return keepBest(vertex, [&](const Strategy &s) { return s.results[0].shardsOf(0, mesh); });
    case ArgumentRole::Parameter:
      return space == StrategySpace::Zero3 ? shard(vertex) : replicate(vertex);
    case ArgumentRole::OptimizerState:
      return space == StrategySpace::Data ? replicate(vertex) : shard(vertex);
    case ArgumentRole::Other:
      return;
    }
  }

  /// The batch dim of what an op computes is split over as much of the mesh as divides it.
  void restrictValues(Vertex &vertex, mlir::ValueRange values) const {
    auto pieces = [&](const Strategy &strategy) {
      int64_t product = 1;
      for (auto [value, sharding] : llvm::zip(values, strategy.results))
        if (std::optional<BatchDim> dim = batch.of(value))
          product *= sharding.shardsOf(dim->dim, mesh);
      return product;
    };
    keepBest(vertex, pieces);
  }

private:
  void shard(Vertex &vertex) const {
    keepBest(vertex, [&](const Strategy &s) { return s.results[0].numShards(mesh); });
  }
  static void replicate(Vertex &vertex) {
    keepBest(vertex, [](const Strategy &s) { return s.results[0].isReplicated() ? 1 : 0; });
  }

  const BatchDims &batch;
  const StrategySpace space;
  const DeviceMesh &mesh;
};

} // namespace

const std::vector<std::string> &strategySpaceNames() {
  static const std::vector<std::string> names = {"auto", "data", "zero2", "zero3"};
  return names;
}

std::optional<StrategySpace> parseStrategySpace(llvm::StringRef name, std::string &error) {
  const std::vector<std::string> &names = strategySpaceNames();
  const auto found = llvm::find(names, name);
  if (found != names.end())
    return static_cast<StrategySpace>(found - names.begin());
  error = "expected a strategy space of " + llvm::join(names, ", ") + ", got '" + name.str() + "'";
  return std::nullopt;
}

mlir::LogicalResult restrictStrategies(const ShardingTarget &target, mlir::FunctionOpInterface func,
                                       std::vector<Vertex> &vertices) {
  if (target.strategySpace == StrategySpace::Auto)
    return mlir::success();
  mlir::FailureOr<StepAnalysis> step = StepAnalysis::of(func->getParentOfType<mlir::ModuleOp>());
  if (mlir::failed(step))
    return mlir::failure();
  const std::vector<ArgumentRole> roles =
      argumentRoles(step->graph, Meetings::find(step->graph, step->batch));
  if (!llvm::is_contained(roles, ArgumentRole::Batch))
    return func->emitError() << "expected an argument that is a batch (alpa.batch), got none: data "
                                "parallelism and ZeRO need batch_argnums";

  const Restriction restriction(step->batch, target.strategySpace, target.mesh);
  for (Vertex &vertex : vertices) {
    switch (vertex.kind) {
    case Vertex::Kind::Argument:
      restriction.restrictArgument(vertex, roles[vertex.index]);
      break;
    case Vertex::Kind::Op:
      restriction.restrictValues(vertex, vertex.op->getResults());
      break;
    case Vertex::Kind::Carried:
      restriction.restrictValues(vertex, vertex.op->getResult(vertex.index));
      break;
    }
  }
  return mlir::success();
}

} // namespace alpa
