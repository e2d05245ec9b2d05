// alpa-enumerate-strategies: the strategies of every op, for people to read and solvers to choose
// from.

#include "TargetOptions.h"
#include "alpa/Passes.h"
#include "mlir/IR/Builders.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace alpa {

#define GEN_PASS_DEF_ENUMERATESTRATEGIES
#include "alpa/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kStrategies = "alpa.strategies";

mlir::ArrayAttr names(mlir::MLIRContext *context, const Vertex &vertex) {
  llvm::SmallVector<mlir::Attribute> list;
  for (const Strategy &strategy : vertex.strategies)
    list.push_back(mlir::StringAttr::get(context, strategy.name));
  return mlir::ArrayAttr::get(context, list);
}

void attach(const ShardingGraph &graph) {
  mlir::FunctionOpInterface func = graph.function();
  mlir::MLIRContext *context = func->getContext();
  // A loop has one vertex per carried value, so its attribute lists their lists.
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<mlir::Attribute>> carried;
  for (const Vertex &vertex : graph.vertices()) {
    switch (vertex.kind) {
    case Vertex::Kind::Argument:
      func.setArgAttr(vertex.index, kStrategies, names(context, vertex));
      break;
    case Vertex::Kind::Op:
      vertex.op->setDiscardableAttr(kStrategies, names(context, vertex));
      break;
    case Vertex::Kind::Carried:
      carried[vertex.op].push_back(names(context, vertex));
      break;
    }
  }
  for (auto &[op, lists] : carried)
    op->setDiscardableAttr(kStrategies, mlir::ArrayAttr::get(context, lists));
}

struct EnumerateStrategies : impl::EnumerateStrategiesBase<EnumerateStrategies> {
  using EnumerateStrategiesBase::EnumerateStrategiesBase;

  void runOnOperation() override {
    mlir::FailureOr<ShardingTarget> target = makeTarget(getOperation(), options());
    if (mlir::failed(target))
      return signalPassFailure();
    mlir::FailureOr<ShardingGraph> graph = ShardingGraph::build(getOperation(), *target);
    if (mlir::failed(graph))
      return signalPassFailure();
    attach(*graph);
    if (!problemFile.empty() && mlir::failed(writeProblem(*graph)))
      signalPassFailure();
  }

  TargetOptionValues options() {
    return {*mesh,
            {devicesPerNode,
             {intraNodeLatencySeconds, intraNodeBytesPerSecond},
             {interNodeLatencySeconds, interNodeBytesPerSecond}},
            peakFlops,
            memoryBytesPerSecond,
            memoryLimitBytes,
            hasReduceScatter,
            strategySpace};
  }

  mlir::LogicalResult writeProblem(const ShardingGraph &graph) {
    std::error_code error;
    llvm::raw_fd_ostream file(problemFile, error);
    if (error)
      return getOperation().emitError()
             << "cannot write '" << problemFile.getValue() << "': " << error.message();
    file << graph.problem().toJson() << "\n";
    return mlir::success();
  }
};

} // namespace
} // namespace alpa
