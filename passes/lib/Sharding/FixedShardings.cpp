// Takes away the strategies that disagree with what the user fixed.

#include "alpa/Sharding/FixedShardings.h"
#include "alpa/IR/ShardyText.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"

namespace alpa {
namespace {

/// A fixed sharding over a mesh of ours: per dim the axes it must start with, and whether more may
/// follow.
struct Fixed {
  Sharding sharding;
  std::vector<bool> isClosed;
};

mlir::FailureOr<Fixed> resolve(const TensorShardingText &text, mlir::Type type,
                               const DeviceMesh &mesh, EmitError emitError) {
  Fixed fixed;
  if (text.dims.size() != shapeOf(type).size())
    return emitError() << "expected a sharding of " << shapeOf(type).size() << " dims, got "
                       << print(text);
  for (size_t dim = 0; dim < text.dims.size(); ++dim) {
    fixed.isClosed.push_back(text.dims[dim].isClosed);
    for (const std::string &name : text.dims[dim].axes) {
      const int axis = mesh.axisIndex(name);
      if (axis < 0)
        return emitError() << "expected axes of the mesh in the sharding " << print(text)
                           << ", got '" << name
                           << "': plan on a mesh with the axes of the user's shardings";
      if (fixed.sharding.dimOf(axis) >= 0)
        return emitError() << "expected each axis once in the sharding " << print(text) << ", got '"
                           << name << "' twice";
      if (mesh.axes[axis].size > 1) // of one device it splits nothing, and strategies leave it out
        fixed.sharding.append(static_cast<int>(dim), axis);
    }
  }
  if (!divides(fixed.sharding, shapeOf(type), mesh))
    return emitError() << "expected a sharding that divides " << type << ", got " << print(text);
  return fixed;
}

bool agrees(const Sharding &sharding, const Fixed &fixed) {
  for (size_t dim = 0; dim < fixed.isClosed.size(); ++dim) {
    const std::vector<int> have = sharding.axesOf(static_cast<int>(dim));
    const std::vector<int> want = fixed.sharding.axesOf(static_cast<int>(dim));
    if (have.size() < want.size() || (fixed.isClosed[dim] && have.size() != want.size()) ||
        !std::equal(want.begin(), want.end(), have.begin()))
      return false;
  }
  return true;
}

void keep(const Fixed &fixed, std::vector<Strategy> &strategies) {
  std::vector<Strategy> kept;
  for (const Strategy &strategy : strategies)
    if (agrees(strategy.results[0], fixed))
      kept.push_back(strategy);
  if (kept.empty()) { // an order of axes that is not among the enumerated ones
    Strategy strategy = strategies.front();
    strategy.results.assign(1, fixed.sharding);
    if (!strategy.operands.empty())
      strategy.operands.assign(1, fixed.sharding);
    kept.push_back(strategy);
  }
  for (Strategy &strategy : kept)
    strategy.isFixed = true;
  strategies = std::move(kept);
}

} // namespace

mlir::LogicalResult keepFixedArgument(mlir::FunctionOpInterface func, unsigned argument,
                                      const DeviceMesh &mesh, std::vector<Strategy> &strategies) {
  mlir::Attribute attribute = func.getArgAttr(argument, kShardingAttr);
  if (!attribute)
    return mlir::success();
  auto emitError = [&] { return func->emitOpError() << "argument " << argument << ": "; };
  mlir::FailureOr<TensorShardingText> text = parseSharding(attribute, emitError);
  if (mlir::failed(text))
    return mlir::failure();
  mlir::FailureOr<Fixed> fixed =
      resolve(*text, func.getArgument(argument).getType(), mesh, emitError);
  if (mlir::failed(fixed))
    return mlir::failure();
  keep(*fixed, strategies);
  return mlir::success();
}

mlir::LogicalResult keepFixedResults(mlir::Operation *op, const DeviceMesh &mesh,
                                     std::vector<Strategy> &strategies) {
  if (kindOf(op) != OpKind::ShardingConstraint)
    return mlir::success();
  auto emitError = [&] { return op->emitOpError(); };
  mlir::FailureOr<TensorShardingText> text = parseSharding(op->getAttr("sharding"), emitError);
  if (mlir::failed(text))
    return mlir::failure();
  mlir::FailureOr<Fixed> fixed = resolve(*text, op->getResult(0).getType(), mesh, emitError);
  if (mlir::failed(fixed))
    return mlir::failure();
  keep(*fixed, strategies);
  return mlir::success();
}

} // namespace alpa
