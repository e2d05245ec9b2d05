// Enumeration of one op's strategies from its sharding rule.

#include "alpa/Sharding/Strategy.h"
#include "alpa/IR/RoundedResults.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "alpa/Sharding/Partitioner.h"
#include "core/mesh/OpSeconds.h"
#include "core/mesh/Reshard.h"
#include <algorithm>
#include <functional>
#include <numeric>

namespace alpa {
namespace {

/// An axis on each factor, or -1: the choice that a strategy is made of.
using Assignment = llvm::SmallVector<int, kMaxMeshAxes>; // by axis

class Enumerator {
public:
  Enumerator(mlir::Operation *op, const ShardingRule &rule, const OpCost &cost,
             const DeviceMesh &mesh, const DeviceSpec &device)
      : op(op), rule(rule), cost(cost), mesh(mesh), device(device) {
    for (int factor = 0; factor < rule.numFactors(); ++factor)
      isSplittable.push_back(rule.factorSizes[factor] > 1 && canSplit(op, rule, factor) &&
                             !isWholeFft());
  }

  std::vector<Strategy> run() {
    Assignment assignment(mesh.numAxes(), -1);
    assign(assignment, 0);
    return std::move(strategies);
  }

private:
  /// XLA's compiler for CPUs (which have no reduce-scatter) lays out the operand of a divided FFT
  /// in a way that its runtime refuses. Seen with jaxlib 0.10.2.
  bool isWholeFft() const { return kindOf(op) == OpKind::Fft && !device.hasReduceScatter; }

  void assign(Assignment &assignment, int axis) {
    if (axis == mesh.numAxes())
      return add(assignment);
    assignment[axis] = -1;
    assign(assignment, axis + 1);
    if (mesh.axes()[axis].size == 1)
      return; // splits nothing
    for (int factor = 0; factor < rule.numFactors(); ++factor) {
      assignment[axis] = factor;
      if (isSplittable[factor] &&
          rule.factorSizes[factor] % shardsOf(assignment, factor, axis) == 0)
        assign(assignment, axis + 1);
    }
    assignment[axis] = -1;
  }

  /// Pieces of a factor under the axes up to and including `lastAxis`.
  int64_t shardsOf(const Assignment &assignment, int factor, int lastAxis) const {
    int64_t product = 1;
    for (int axis = 0; axis <= lastAxis; ++axis)
      if (assignment[axis] == factor)
        product *= mesh.axes()[axis].size;
    return product;
  }

  /// The sharding of a tensor whose dims consist of factors. A factor of a compound dim may be
  /// split only when the factors before it are split completely: otherwise its pieces are not
  /// contiguous and no sharding says so.
  bool project(const Assignment &assignment, const ShardingRule::TensorFactors &dims,
               llvm::ArrayRef<int64_t> shape, Sharding &sharding) const {
    sharding = Sharding();
    for (int dim = 0; dim < static_cast<int>(dims.size()); ++dim) {
      bool isComplete = true;
      for (int factor : dims[dim]) {
        int64_t shards = 1;
        for (int axis = 0; axis < mesh.numAxes(); ++axis)
          if (assignment[axis] == factor) {
            if (!isComplete)
              return false;
            sharding.append(dim, axis);
            shards *= mesh.axes()[axis].size;
          }
        isComplete = isComplete && shards == rule.factorSizes[factor];
      }
      // A dim can be smaller than its factor (slices, broadcasts); what does not divide cannot be
      // split.
      if (dim < static_cast<int>(shape.size()) && shape[dim] % sharding.shardsOf(dim, mesh) != 0)
        return false;
    }
    return true;
  }

  void add(const Assignment &assignment) {
    Strategy strategy;
    int64_t numShards = 1;
    llvm::SmallVector<AxisSet> reduced(rule.numFactors(), 0); // by factor
    for (int axis = 0; axis < mesh.numAxes(); ++axis) {
      const int factor = assignment[axis];
      if (factor < 0)
        continue;
      numShards *= mesh.axes()[axis].size;
      if (rule.factorKinds[factor] == FactorKind::Reduction)
        reduced[factor] |= AxisSet(1) << axis;
      strategy.name +=
          (strategy.name.empty() ? "" : ",") + mesh.axes()[axis].name + "=" + factorName(factor);
    }
    if (strategy.name.empty())
      strategy.name = "replicated";
    if (!projectAll(assignment, rule.operands, op->getOperandTypes(), strategy.operands) ||
        !projectAll(assignment, rule.results, op->getResultTypes(), strategy.results))
      return;
    const int64_t numResultShards =
        strategy.results.empty() ? 1 : strategy.results.front().numShards(mesh);
    strategy.seconds = computeSeconds(cost, numShards, numResultShards, device);
    llvm::erase(reduced, AxisSet(0));
    if (reduced.empty())
      strategies.push_back(std::move(strategy));
    else if (numShards == mesh.numDevices() || !reducesOnWholeMeshOnly(op))
      addReductions(strategy, reduced);
  }

  template <typename Types, typename Shardings>
  bool projectAll(const Assignment &assignment,
                  const std::vector<ShardingRule::TensorFactors> &tensors, Types types,
                  Shardings &shardings) const {
    for (auto [tensor, type] : llvm::zip(tensors, types)) {
      Sharding sharding;
      if (!project(assignment, tensor, shapeOf(type), sharding))
        return false;
      shardings.push_back(sharding);
    }
    return true;
  }

  /// Partial sums are added by an all-reduce for each factor that was split (XLA makes one per
  /// reduced dim; for GPUs it folds them into one) or, where there is one such factor and a result
  /// dim can take its axes, by a reduce-scatter.
  void addReductions(const Strategy &partial, llvm::ArrayRef<AxisSet> reduced) {
    Strategy whole = partial;
    const AxisSet all = std::accumulate(reduced.begin(), reduced.end(), AxisSet(0), std::bit_or());
    for (AxisSet axes : device.hasReduceScatter ? llvm::ArrayRef(all) : reduced)
      for (auto [type, sharding] : llvm::zip(op->getResultTypes(), partial.results))
        addCollective(whole, CollectiveKind::AllReduce, axes,
                      bytesOf(reductionType(type), sharding));
    strategies.push_back(std::move(whole));

    if (!device.hasReduceScatter || op->getNumResults() != 1 || reduced.size() != 1)
      return;
    const mlir::Type type = reductionType(op->getResult(0).getType());
    const std::vector<int64_t> shape = shapeOf(type);
    for (int dim = 0; dim < static_cast<int>(shape.size()); ++dim) {
      Strategy scattered = partial;
      for (int axis = 0; axis < mesh.numAxes(); ++axis)
        if (reduced[0] >> axis & 1)
          scattered.results[0].append(dim, axis);
      if (shape[dim] % scattered.results[0].shardsOf(dim, mesh) != 0)
        continue;
      scattered.name += ">" + std::to_string(dim);
      addCollective(scattered, CollectiveKind::ReduceScatter, reduced[0],
                    bytesOf(type, partial.results[0]));
      const double transposition =
          transposeSeconds(partial.results[0], dim, shape, elementBytesOf(type), mesh, device);
      scattered.seconds += transposition;
      scattered.reductionSeconds += transposition;
      strategies.push_back(std::move(scattered));
    }
  }

  void addCollective(Strategy &strategy, CollectiveKind kind, AxisSet axes, int64_t bytes) const {
    strategy.collectives.push_back({kind, axes, bytes});
    const double added = seconds(strategy.collectives.back(), mesh);
    strategy.seconds += added;
    strategy.reductionSeconds += added;
  }

  /// As which partial results of this type are added.
  mlir::Type reductionType(mlir::Type type) const {
    mlir::Type rounded = roundsTo(op);
    return rounded ? llvm::cast<mlir::RankedTensorType>(type).clone(rounded) : type;
  }

  int64_t bytesOf(mlir::Type type, const Sharding &sharding) const {
    return bytes(type) / sharding.numShards(mesh);
  }

  mlir::Operation *op;
  const ShardingRule &rule;
  const OpCost &cost;
  const DeviceMesh &mesh;
  const DeviceSpec &device;
  llvm::SmallVector<bool> isSplittable; ///< by factor
  std::vector<Strategy> strategies;
};

} // namespace

std::string costClass(mlir::Operation *op) {
  switch (kindOf(op)) {
  case OpKind::DotGeneral: {
    mlir::FailureOr<DotDims> dims = dotDims(op);
    const bool isBatched = mlir::succeeded(dims) && !dims->lhsBatch.empty();
    return isBatched ? "batched_product" : "product";
  }
  case OpKind::RaggedDot:
    return "batched_product";
  case OpKind::Convolution:
    return "convolution";
  case OpKind::Reduce:
  case OpKind::ReduceWindow:
    return "reduce";
  case OpKind::Transpose:
    return "transpose";
  case OpKind::Gather:
  case OpKind::DynamicSlice:
    return "gather";
  case OpKind::Scatter:
  case OpKind::DynamicUpdateSlice:
    return "scatter";
  default:
    return "elementwise";
  }
}

double computeSeconds(const OpCost &cost, int64_t numShards, int64_t numResultShards,
                      const DeviceSpec &device) {
  const double part = 1.0 / static_cast<double>(numShards);
  const double filled = cost.filledBytes / static_cast<double>(numResultShards);
  const OpWork work{cost.opClass, cost.elementType, cost.flops * part, cost.memoryBytes * part};
  return seconds(work, device) +
         seconds(OpWork{"elementwise", cost.elementType, 0, filled}, device);
}

std::vector<Strategy> enumerateStrategies(mlir::Operation *op, const ShardingRule &rule,
                                          const OpCost &cost, const DeviceMesh &mesh,
                                          const DeviceSpec &device) {
  return Enumerator(op, rule, cost, mesh, device).run();
}

Strategy replicatedStrategy(mlir::Operation *op, const OpCost &cost, const DeviceSpec &device) {
  Strategy strategy;
  strategy.name = "replicated";
  strategy.operands.resize(op->getNumOperands());
  strategy.results.resize(op->getNumResults());
  strategy.seconds = computeSeconds(cost, 1, 1, device);
  return strategy;
}

} // namespace alpa
