// Reads a sharding target off pass options.

#include "TargetOptions.h"

namespace alpa {

mlir::FailureOr<ShardingTarget> makeTarget(mlir::Operation *op, const TargetOptionValues &options) {
  ShardingTarget target;
  if (options.mesh.empty() || options.mesh.size() > kMaxMeshAxes)
    return op->emitError() << "expected mesh=x=2,y=4 with one to " << kMaxMeshAxes << " axes, got "
                           << options.mesh.size();
  std::vector<DeviceMeshAxis> axes;
  for (const std::string &text : options.mesh) {
    auto [name, sizeText] = llvm::StringRef(text).split('=');
    DeviceMeshAxis axis;
    axis.name = name.trim().str();
    if (axis.name.empty() || sizeText.trim().getAsInteger(10, axis.size) || axis.size < 1 ||
        llvm::any_of(axes, [&](const auto &other) { return other.name == axis.name; }))
      return op->emitError() << "expected mesh axes such as x=2 with distinct names, got '" << text
                             << "'";
    axes.push_back(std::move(axis));
  }
  target.mesh = DeviceMesh(std::move(axes), options.links);
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
