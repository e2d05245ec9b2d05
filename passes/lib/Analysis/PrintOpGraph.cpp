// alpa-print-op-graph: what the analyses found, as remarks at the ops, for people and for tests.

#include "alpa/Analysis/Liveness.h"
#include "alpa/Analysis/StepAnalysis.h"
#include "alpa/Analysis/TrainingPhases.h"
#include "alpa/IR/Remark.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Passes.h"
#include "llvm/Support/Format.h"

namespace alpa {
#define GEN_PASS_DEF_PRINTOPGRAPH
#include "alpa/Passes.h.inc"
namespace {

llvm::StringRef name(BatchEnd end) {
  switch (end) {
  case BatchEnd::Reduced:
    return "batch reduced here";
  case BatchEnd::Mixed:
    return "batch mixed here";
  case BatchEnd::Unknown:
    return "batch lost here";
  }
  return "";
}

std::string number(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.0f", value);
  return text;
}

std::string list(llvm::ArrayRef<int> indices) {
  std::string text;
  for (int index : indices)
    text += (text.empty() ? "" : " ") + std::to_string(index);
  return "[" + text + "]";
}

/// Words for what an op and a value are.
class Describer {
public:
  Describer(const OpGraph &graph, const Liveness &liveness, const BatchDims &batch)
      : graph(graph), liveness(liveness), batch(batch) {
    for (const OpNode &node : graph.nodes())
      begins.push_back(liveness.timeOf(node.op).begin);
    llvm::sort(begins); // ops do not run in the order in which they are numbered
  }

  std::string value(mlir::Value value) const {
    const Interval live = liveness.intervalOf(value);
    const int64_t size = liveness.needsMemory(value) ? bytes(value.getType()) : 0;
    std::string text = std::to_string(size) + " bytes live [" +
                       std::to_string(numBefore(live.begin)) + ", " +
                       std::to_string(numBefore(live.end) - 1) + "]";
    if (std::optional<BatchDim> dim = batch.of(value)) {
      text += ", batch in dim " + std::to_string(dim->dim);
      if (dim->minor != 1)
        text += " above " + std::to_string(dim->minor);
    }
    return text;
  }

  std::string op(int index) const {
    const OpNode &node = graph[index];
    std::string text = "op " + std::to_string(index) + ": " + number(node.flops) +
                       " flops, reads " + std::to_string(node.bytesRead) + " bytes, writes " +
                       std::to_string(node.bytesWritten) + " bytes, runs " +
                       number(node.multiplicity) + ", from " + list(node.producers) + " to " +
                       list(node.users);
    for (mlir::Value result : node.op->getResults())
      text += "; " + value(result);
    return text;
  }

private:
  /// How many ops begin before `time`: the number of the first that does not, in program order.
  int64_t numBefore(int64_t time) const { return llvm::lower_bound(begins, time) - begins.begin(); }

  const OpGraph &graph;
  const Liveness &liveness;
  const BatchDims &batch;
  std::vector<int64_t> begins;
};

struct PrintOpGraph : impl::PrintOpGraphBase<PrintOpGraph> {
  void runOnOperation() override {
    mlir::FailureOr<StepAnalysis> step = StepAnalysis::of(getOperation());
    if (mlir::failed(step))
      return signalPassFailure();
    const auto &[graph, batch] = *step;
    const Liveness liveness(graph.function());
    const Describer describe(graph, liveness, batch);

    std::vector<ArgumentRole> roles = argumentRoles(graph, Meetings::find(graph, batch));
    for (mlir::BlockArgument argument : graph.function().getArguments())
      emitCodedRemark(argument.getLoc(), "argument")
          << "argument " << argument.getArgNumber() << ": " << name(roles[argument.getArgNumber()])
          << ", " << describe.value(argument);
    llvm::DenseMap<mlir::Operation *, BatchEnd> ends;
    for (BatchDims::End end : batch.ends())
      ends[end.op] = end.kind;
    for (int index = 0; index < graph.size(); ++index) {
      mlir::Operation *op = graph[index].op;
      auto remark = emitCodedRemark(op->getLoc(), "op") << describe.op(index);
      if (auto end = ends.find(op); end != ends.end())
        remark << "; " << name(end->second);
    }
    for (mlir::Operation *loop : graph.loopsOfUnknownLength())
      emitCodedRemark(loop->getLoc(), "unknown-trip-count")
          << "expected a loop with a constant trip count, counted once";
    emitCodedRemark(graph.function().getLoc(), "peak")
        << "peak of " << liveness.peakBytes() << " bytes";
    markAllAnalysesPreserved();
  }
};

} // namespace
} // namespace alpa
