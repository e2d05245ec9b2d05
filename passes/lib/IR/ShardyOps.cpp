// Makes Shardy's ops in generic form: the dialect need not be registered.

#include "alpa/IR/ShardyOps.h"
#include "mlir/IR/SymbolTable.h"

namespace alpa {
namespace {

constexpr llvm::StringLiteral kMeshOp = "sdy.mesh";
constexpr llvm::StringLiteral kConstraintOp = "sdy.sharding_constraint";
constexpr llvm::StringLiteral kSharding = "sharding";

} // namespace

TensorShardingText shardingText(const Sharding &sharding, int rank, const DeviceMesh &mesh,
                                llvm::StringRef meshName) {
  TensorShardingText text;
  text.meshName = meshName.str();
  for (int dim = 0; dim < rank; ++dim) {
    DimShardingText dimText;
    for (int axis : sharding.axesOf(dim))
      dimText.axes.push_back(mesh.axes()[axis].name);
    text.dims.push_back(std::move(dimText));
  }
  return text;
}

void makeMesh(mlir::ModuleOp module, llvm::StringRef name, const DeviceMesh &mesh) {
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockBegin(module.getBody());
  MeshText text;
  for (const DeviceMeshAxis &axis : mesh.axes())
    text.axes.push_back({axis.name, axis.size});
  mlir::OperationState state(module.getLoc(), kMeshOp);
  state.propertiesAttr = builder.getDictionaryAttr({
      builder.getNamedAttr("mesh", makeAttr(module.getContext(), text)),
      builder.getNamedAttr(mlir::SymbolTable::getSymbolAttrName(), builder.getStringAttr(name)),
  });
  builder.create(state);
}

/// Whether a mesh only names a device by its id: host callbacks are placed on such meshes.
static bool namesOneDevice(mlir::Operation &op) {
  auto mesh = parseMesh(op.getAttr("mesh"), [&] { return op.emitError(); });
  return mlir::succeeded(mesh) && mesh->axes.empty() && !mesh->deviceIds.empty();
}

llvm::SmallVector<mlir::Operation *> meshes(mlir::ModuleOp module) {
  llvm::SmallVector<mlir::Operation *> result;
  for (mlir::Operation &op : *module.getBody())
    if (op.getName().getStringRef() == kMeshOp && !namesOneDevice(op))
      result.push_back(&op);
  return result;
}

bool isManuallySharded(mlir::Operation *op) {
  return op->getName().getDialectNamespace() == "sdy" &&
         op->getName().getStringRef() != kConstraintOp;
}

mlir::Value makeConstraint(mlir::OpBuilder &builder, mlir::Value value,
                           const TensorShardingText &sharding) {
  mlir::OperationState state(value.getLoc(), kConstraintOp);
  state.addOperands(value);
  state.addTypes(value.getType());
  state.propertiesAttr = builder.getDictionaryAttr(
      builder.getNamedAttr(kSharding, makeAttr(builder.getContext(), sharding)));
  return builder.create(state)->getResult(0);
}

void setConstraint(mlir::Operation *constraint, const TensorShardingText &sharding) {
  constraint->setAttr(kSharding, makeAttr(constraint->getContext(), sharding));
}

} // namespace alpa
