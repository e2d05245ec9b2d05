// alpa-verify-shardings: nothing of the planner is left, every sharding fits, and no constraint
// asks XLA for a reshard it would replicate the tensor for.

#include "alpa/IR/CheckModule.h"
#include "alpa/IR/ShardyOps.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Passes.h"
#include "alpa/Sharding/ReshardTables.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace alpa {

#define GEN_PASS_DEF_VERIFYSHARDINGS
#include "alpa/Passes.h.inc"

namespace {

class Verifier {
public:
  explicit Verifier(mlir::ModuleOp module) : module(module) {}

  mlir::LogicalResult run() {
    if (mlir::failed(readMesh()))
      return mlir::failure();
    for (auto func : module.getOps<mlir::FunctionOpInterface>())
      if (!func.isExternal() && mlir::failed(verifyBoundary(func)))
        return mlir::failure();
    mlir::WalkResult result = module.walk([&](mlir::Operation *op) -> mlir::WalkResult {
      for (llvm::StringRef name : {"alpa.mesh", "alpa.operands", "alpa.results"})
        if (op->hasAttr(name))
          return op->emitError() << "expected no '" << name
                                 << "' after planning: run alpa-annotate-shardings";
      if (kindOf(op) == OpKind::ShardingConstraint)
        return verifyConstraint(op);
      return mlir::WalkResult::advance();
    });
    return mlir::failure(result.wasInterrupted());
  }

private:
  mlir::LogicalResult readMesh() {
    auto found = meshes(module);
    if (found.size() != 1)
      return module.emitError() << "expected one mesh, got " << found.size();
    auto emitError = [&] { return found.front()->emitError(); };
    mlir::FailureOr<MeshText> text = parseMesh(found.front()->getAttr("mesh"), emitError);
    if (mlir::failed(text))
      return mlir::failure();
    std::vector<DeviceMeshAxis> axes;
    for (const MeshAxis &axis : text->axes)
      axes.push_back({axis.name, axis.size});
    mesh = DeviceMesh(std::move(axes), MeshLinks()); // nobody asks what anything costs
    if (const std::string wrong = mesh.complaint(); !wrong.empty())
      return emitError() << wrong;
    tables.emplace(mesh, DeviceSpec());
    return mlir::success();
  }

  mlir::LogicalResult verifyBoundary(mlir::FunctionOpInterface func) {
    for (mlir::BlockArgument argument : func.getArguments()) {
      const unsigned number = argument.getArgNumber();
      if (func.getArgAttr(number, "alpa.sharding"))
        return func->emitError() << "expected no 'alpa.sharding' of argument " << number
                                 << " after planning: run alpa-annotate-shardings";
      auto sharding = read(func.getArgAttr(number, kShardingAttr), argument.getType(),
                           [&] { return func->emitError() << "argument " << number << ": "; });
      if (mlir::failed(sharding))
        return mlir::failure();
      known[argument] = *sharding;
    }
    for (unsigned i = 0; i < func.getNumResults(); ++i)
      if (mlir::failed(read(func.getResultAttr(i, kShardingAttr), func.getResultTypes()[i],
                            [&] { return func->emitError() << "result " << i << ": "; })))
        return mlir::failure();
    return mlir::success();
  }

  mlir::LogicalResult verifyConstraint(mlir::Operation *op) {
    mlir::Type type = op->getResult(0).getType();
    auto sharding = read(op->getAttr("sharding"), type, [&] { return op->emitError(); });
    if (mlir::failed(sharding))
      return mlir::failure();
    known[op->getResult(0)] = *sharding;
    auto from = known.find(op->getOperand(0));
    if (from == known.end())
      return mlir::success(); // XLA is free to make the value in this sharding
    if (!tables->of(type).isOneStep(from->second, *sharding)) {
      const int rank = static_cast<int>(shapeOf(type).size());
      return op->emitError() << "expected a reshard of one step, got "
                             << from->second.str(rank, mesh) << " to " << sharding->str(rank, mesh)
                             << ", for which XLA replicates the tensor";
    }
    return mlir::success();
  }

  mlir::FailureOr<Sharding> read(mlir::Attribute attribute, mlir::Type type, EmitError emitError) {
    if (!attribute)
      return emitError() << "expected a sharding, got none";
    mlir::FailureOr<TensorShardingText> text = parseSharding(attribute, emitError);
    if (mlir::failed(text))
      return mlir::failure();
    Sharding sharding;
    for (size_t dim = 0; dim < text->dims.size(); ++dim)
      for (const std::string &name : text->dims[dim].axes) {
        const int axis = mesh.axisIndex(name);
        if (axis < 0 || sharding.dimOf(axis) >= 0)
          return emitError() << "expected each axis to be one of the mesh and used once, got '"
                             << name << "' in " << print(*text);
        if (mesh.axes()[axis].size > 1) // of one device it splits nothing
          sharding.append(static_cast<int>(dim), axis);
      }
    if (text->dims.size() != shapeOf(type).size() || !divides(sharding, shapeOf(type), mesh))
      return emitError() << "expected a sharding that divides " << type << ", got " << print(*text);
    return sharding;
  }

  mlir::ModuleOp module;
  DeviceMesh mesh;
  llvm::DenseMap<mlir::Value, Sharding> known;
  std::optional<ReshardTables> tables; ///< once the mesh is known
};

struct VerifyShardings : impl::VerifyShardingsBase<VerifyShardings> {
  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())) || mlir::failed(Verifier(getOperation()).run()))
      signalPassFailure();
  }
};

} // namespace
} // namespace alpa
