// Reads a sharding target off pass options.

#include "TargetOptions.h"

namespace alpa {

mlir::FailureOr<ShardingTarget> makeTarget(mlir::Operation *op, const TargetOptionValues &options) {
  ShardingTarget target;
  if (options.mesh.empty() || options.mesh.size() > kMaxMeshAxes)
    return op->emitError() << "expected mesh=x=2,y=4 with one to " << kMaxMeshAxes << " axes, got "
                           << options.mesh.size();
  for (size_t i = 0; i < options.mesh.size(); ++i) {
    auto [name, sizeText] = llvm::StringRef(options.mesh[i]).split('=');
    DeviceMeshAxis axis;
    axis.name = name.trim().str();
    if (axis.name.empty() || sizeText.trim().getAsInteger(10, axis.size) || axis.size < 1 ||
        target.mesh.axisIndex(axis.name) >= 0)
      return op->emitError() << "expected mesh axes such as x=2 with distinct names, got '"
                             << options.mesh[i] << "'";
    axis.latencySeconds = i < options.latencySeconds.size() ? options.latencySeconds[i] : 1e-5;
    axis.bytesPerSecond = i < options.bytesPerSecond.size() ? options.bytesPerSecond[i] : 1e11;
    target.mesh.axes.push_back(std::move(axis));
  }
  target.device = {{{"f32", options.peakFlops}},
                   options.memoryBytesPerSecond,
                   options.memoryLimitBytes,
                   options.hasReduceScatter};
  for (const std::string &wrong : {target.mesh.complaint(), target.device.complaint()})
    if (!wrong.empty())
      return op->emitError() << wrong;
  std::string error;
  std::optional<StrategySpace> space = parseStrategySpace(options.strategySpace, error);
  if (!space)
    return op->emitError() << error;
  target.strategySpace = *space;
  return target;
}

} // namespace alpa
