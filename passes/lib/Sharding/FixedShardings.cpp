// Takes away the strategies that disagree with what the user fixed.

#include "alpa/Sharding/FixedShardings.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Remark.h"
#include "alpa/IR/ShardyOps.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Sharding/ChosenShardings.h"
#include <set>

namespace alpa {
namespace {

/// A fixed sharding over a mesh of ours: per dim the axes it must start with, and whether more may
/// follow.
struct Fixed {
  Sharding sharding;
  std::vector<bool> isClosed;
};

/// The size of an axis of the mesh that the user's shardings are on.
std::optional<int64_t> userAxisSize(mlir::ModuleOp module, llvm::StringRef name) {
  for (mlir::Operation *op : meshes(module)) {
    auto quiet = [op] { return op->emitError("has a malformed mesh: "); };
    mlir::FailureOr<MeshText> mesh = parseMesh(op->getAttr("mesh"), quiet);
    if (mlir::succeeded(mesh))
      for (const MeshAxis &axis : mesh->axes)
        if (axis.name == name)
          return axis.size;
  }
  return std::nullopt;
}

/// A wish of the user on the mesh at hand. Stages of a pipeline have meshes of their own: what
/// these cannot give is no error but a remark.
class FixedResolver {
public:
  FixedResolver(mlir::FunctionOpInterface func, const DeviceMesh &mesh)
      : func(func), mesh(mesh), isStage(func->hasAttr(kNumMicrobatchesAttr)) {}

  /// None after a remark. Fails with a diagnostic.
  mlir::FailureOr<std::optional<Fixed>> resolve(const TensorShardingText &text, mlir::Type type,
                                                mlir::Location loc) {
    if (text.dims.size() != shapeOf(type).size())
      return mlir::emitError(loc) << "expected a sharding of " << shapeOf(type).size()
                                  << " dims, got " << print(text);
    Fixed fixed;
    std::set<std::string> seen;
    for (size_t dim = 0; dim < text.dims.size(); ++dim) {
      fixed.isClosed.push_back(text.dims[dim].isClosed);
      for (const std::string &name : text.dims[dim].axes) {
        if (!seen.insert(name).second)
          return mlir::emitError(loc) << "expected each axis once in the sharding " << print(text)
                                      << ", got '" << name << "' twice";
        const int axis = axisFor(name, fixed.sharding);
        if (axis >= 0) {
          // An axis of one device splits nothing: strategies leave it out.
          if (mesh.axes()[axis].size > 1)
            fixed.sharding.append(static_cast<int>(dim), axis);
          continue;
        }
        if (!isStage)
          return mlir::emitError(loc)
                 << "expected axes of the mesh in the sharding " << print(text) << ", got '" << name
                 << "': plan on a mesh with the axes of the user's shardings";
        return ignore(loc, text) << "the mesh of the stage has no axis like '" << name << "'";
      }
    }
    if (!divides(fixed.sharding, shapeOf(type), mesh))
      return ignore(loc, text) << "it does not divide " << type;
    return std::optional<Fixed>(std::move(fixed));
  }

private:
  /// The axis of that name; on a stage, else the first of its size that is free. -1: none.
  int axisFor(const std::string &name, const Sharding &used) const {
    const int named = mesh.axisIndex(name);
    if (!isStage)
      return named;
    auto isFree = [&](int axis) { return used.dimOf(axis) < 0; };
    std::optional<int64_t> size = userAxisSize(func->getParentOfType<mlir::ModuleOp>(), name);
    if (named >= 0 && isFree(named) && (!size || mesh.axes()[named].size == *size))
      return named;
    for (int axis = 0; size && axis < mesh.numAxes(); ++axis)
      if (isFree(axis) && mesh.axes()[axis].size == *size)
        return axis;
    return -1;
  }

  /// Ends in "no wish".
  struct Ignored {
    mlir::InFlightDiagnostic remark;
    template <typename T> Ignored &&operator<<(T &&text) && {
      remark << std::forward<T>(text);
      return std::move(*this);
    }
    operator mlir::FailureOr<std::optional<Fixed>>() && { return std::optional<Fixed>(); }
  };
  static Ignored ignore(mlir::Location loc, const TensorShardingText &text) {
    Ignored ignored{emitCodedRemark(loc, "sharding-not-kept")};
    ignored.remark << "the sharding " << print(text) << " is not kept: ";
    return ignored;
  }

  mlir::FunctionOpInterface func;
  const DeviceMesh &mesh;
  bool isStage;
};

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
  mlir::BlockArgument value = func.getArgument(argument);
  auto fixed = FixedResolver(func, mesh).resolve(*text, value.getType(), value.getLoc());
  if (mlir::failed(fixed))
    return mlir::failure();
  if (*fixed)
    keep(**fixed, strategies);
  return mlir::success();
}

mlir::LogicalResult keepFixedResults(mlir::FunctionOpInterface func, mlir::Operation *op,
                                     const DeviceMesh &mesh, std::vector<Strategy> &strategies) {
  if (kindOf(op) != OpKind::ShardingConstraint)
    return mlir::success();
  auto emitError = [&] { return op->emitOpError(); };
  mlir::FailureOr<TensorShardingText> text = parseSharding(op->getAttr("sharding"), emitError);
  if (mlir::failed(text))
    return mlir::failure();
  auto fixed = FixedResolver(func, mesh).resolve(*text, op->getResult(0).getType(), op->getLoc());
  if (mlir::failed(fixed))
    return mlir::failure();
  if (*fixed)
    keep(**fixed, strategies);
  return mlir::success();
}

} // namespace alpa
