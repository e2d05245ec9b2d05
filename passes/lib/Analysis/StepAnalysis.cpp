// See the header.

#include "alpa/Analysis/StepAnalysis.h"

namespace alpa {

mlir::FailureOr<StepAnalysis> StepAnalysis::of(mlir::ModuleOp module) {
  mlir::FailureOr<OpGraph> graph = OpGraph::build(module);
  if (mlir::failed(graph))
    return mlir::failure();
  mlir::FailureOr<BatchDims> batch = BatchDims::compute(*graph);
  if (mlir::failed(batch))
    return mlir::failure();
  return StepAnalysis{std::move(*graph), std::move(*batch)};
}

} // namespace alpa
