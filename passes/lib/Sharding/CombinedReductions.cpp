// Which reductions XLA runs as one. It combines all-reduces, and reduce-scatters, over the same
// axes of the same element type as long as none needs another and their results are 30 MiB together
// (`xla_gpu_all_reduce_combine_threshold_bytes` and its like). What the first member reduces is
// kept until the last is there: with n devices that is n times 30 MiB where gradients are
// scattered.

#include "alpa/IR/Stablehlo.h"
#include "alpa/IR/ValuesRead.h"
#include "alpa/Sharding/ShardingGraph.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/DenseSet.h"
#include <algorithm>
#include <map>
#include <tuple>

namespace alpa {
namespace {

constexpr int64_t kCombinedBytes = int64_t(30) << 20;

/// Reductions of one kind, in program order; those at the end still wait for others.
class CombinedReductions {
public:
  explicit CombinedReductions(std::vector<int64_t> &runsAt) : runsAt(runsAt) {}

  /// Every op is to pass here before it is added.
  void follow(mlir::Operation *op) {
    if (waiting.empty())
      return;
    if (llvm::any_of(valuesRead(op),
                     [&](mlir::Value value) { return dependents.contains(value.getDefiningOp()); }))
      dependents.insert(op);
  }
  void add(int vertex, mlir::Operation *op, int64_t time, int64_t resultBytes) {
    if (bytes + resultBytes > kCombinedBytes || dependents.contains(op))
      run();
    waiting.push_back(vertex);
    dependents.insert(op);
    bytes += resultBytes;
    last = std::max(last, time);
  }
  void run() {
    for (int vertex : waiting)
      runsAt[vertex] = last;
    waiting.clear();
    dependents.clear();
    bytes = 0;
  }

private:
  std::vector<int64_t> &runsAt;
  std::vector<int> waiting;
  llvm::DenseSet<mlir::Operation *> dependents; ///< of those that wait, and they themselves
  int64_t bytes = 0, last = 0;
};

} // namespace

std::vector<int64_t> ShardingGraph::reductionTimes(llvm::ArrayRef<int> choices) const {
  using Kind = std::tuple<llvm::StringRef, CollectiveKind, AxisSet, const void *>;
  std::vector<int64_t> times(allVertices.size(), -1);
  llvm::DenseMap<mlir::Operation *, int> vertexOf;
  for (auto [number, vertex] : llvm::enumerate(allVertices))
    if (vertex.kind == Vertex::Kind::Op)
      vertexOf[vertex.op] = static_cast<int>(number);
  std::map<Kind, CombinedReductions> reductions;
  mlir::FunctionOpInterface func = this->func; // whose accessors are not const
  for (mlir::Operation &op : func.getFunctionBody().front()) {
    for (auto &[kind, combined] : reductions)
      combined.follow(&op);
    auto number = vertexOf.find(&op);
    if (number == vertexOf.end() || op.getNumResults() != 1)
      continue;
    const Vertex &vertex = allVertices[number->second];
    const Strategy &strategy = vertex.strategies[choices[number->second]];
    if (strategy.collectives.size() != 1 || strategy.unreduced)
      continue;
    const auto &[collective, axes, unused] = strategy.collectives.front();
    if (collective != CollectiveKind::AllReduce && collective != CollectiveKind::ReduceScatter)
      continue;
    const mlir::Type type = op.getResult(0).getType();
    const Kind kind{phaseNameOf(&op), collective, axes,
                    mlir::getElementTypeOrSelf(type).getAsOpaquePointer()};
    reductions.try_emplace(kind, times)
        .first->second.add(number->second, &op, vertex.live.begin,
                           bytes(type) / strategy.results[0].numShards(shardingTarget.mesh));
  }
  for (auto &[kind, combined] : reductions)
    combined.run();
  return times;
}

} // namespace alpa
