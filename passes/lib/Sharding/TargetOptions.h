// The sharding target that the options of a pass describe.
#pragma once

#include "alpa/Sharding/ShardingGraph.h"

namespace alpa {

/// The options as plain values, in the names of TargetOptions in Passes.td.
struct TargetOptionValues {
  llvm::ArrayRef<std::string> mesh;
  MeshLinks links;
  double peakFlops;
  double memoryBytesPerSecond;
  int64_t memoryLimitBytes;
  bool hasReduceScatter;
  std::string strategySpace;
};

/// Fails with a diagnostic at `op` that says which option is wrong.
mlir::FailureOr<ShardingTarget> makeTarget(mlir::Operation *op, const TargetOptionValues &options);

} // namespace alpa
