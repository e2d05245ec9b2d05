// alpa-choose-strategies: a solution of the sharding problem becomes attributes.

#include "TargetOptions.h"
#include "alpa/Passes.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

namespace alpa {

#define GEN_PASS_DEF_CHOOSESTRATEGIES
#include "alpa/Passes.h.inc"

namespace {

using Choices = std::vector<int>;

/// A JSON list of numbers, alone or as `choices` of an object.
mlir::FailureOr<Choices> readChoices(mlir::Operation *op, llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return op->emitError() << "cannot read '" << path << "': " << buffer.getError().message();
  llvm::Expected<llvm::json::Value> json = llvm::json::parse((*buffer)->getBuffer());
  if (!json)
    return op->emitError() << "expected JSON in '" << path
                           << "': " << llvm::toString(json.takeError());
  const llvm::json::Array *list = json->getAsArray();
  if (const llvm::json::Object *object = json->getAsObject())
    list = object->getArray("choices");
  Choices choices;
  for (size_t i = 0; list && i < list->size(); ++i) {
    std::optional<int64_t> choice = (*list)[i].getAsInteger();
    if (!choice || *choice < 0 || *choice > INT32_MAX)
      return op->emitError() << "expected a strategy number at place " << i << " of '" << path
                             << "'";
    choices.push_back(static_cast<int>(*choice));
  }
  if (!list)
    return op->emitError() << "expected a list of choices in '" << path << "'";
  return choices;
}

struct ChooseStrategies : impl::ChooseStrategiesBase<ChooseStrategies> {
  using ChooseStrategiesBase::ChooseStrategiesBase;

  void runOnOperation() override {
    if (mlir::failed(choose()))
      signalPassFailure();
  }

  mlir::LogicalResult choose() {
    mlir::FailureOr<ShardingTarget> target = makeTarget(getOperation(), options());
    if (mlir::failed(target))
      return mlir::failure();
    mlir::FailureOr<ShardingGraph> graph = ShardingGraph::build(getOperation(), *target);
    if (mlir::failed(graph))
      return mlir::failure();
    mlir::FailureOr<Choices> chosen = Choices(choices.begin(), choices.end());
    if (!choicesFile.empty())
      chosen = readChoices(getOperation(), choicesFile);
    if (mlir::failed(chosen) || mlir::failed(check(*graph, *chosen)))
      return mlir::failure();
    graph->write(llvm::ArrayRef(*chosen).take_front(graph->vertices().size()));
    return mlir::success();
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

  /// One choice for each vertex, and maybe for each view, which is not read: it follows from those.
  mlir::LogicalResult check(const ShardingGraph &graph, const Choices &chosen) {
    const size_t numVertices = graph.vertices().size(), numNodes = graph.numNodes();
    if (chosen.size() != numVertices && chosen.size() != numNodes) {
      auto error = getOperation().emitError() << "expected " << numVertices;
      if (numNodes != numVertices)
        error << " or, with those of views, " << numNodes;
      return error << " choices, got " << chosen.size()
                   << ": choices belong to one problem-file of alpa-enumerate-strategies";
    }
    for (size_t i = 0; i < numVertices; ++i) {
      const Vertex &vertex = graph.vertices()[i];
      if (chosen[i] < 0 || chosen[i] >= static_cast<int>(vertex.strategies.size()))
        return (vertex.op ? vertex.op : graph.function().getOperation())->emitError()
               << "expected a strategy below " << vertex.strategies.size() << " for node " << i
               << ", got " << chosen[i];
    }
    return mlir::success();
  }
};

} // namespace
} // namespace alpa
