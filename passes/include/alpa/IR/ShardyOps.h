// The ops of Shardy that our passes make: meshes and sharding constraints.
#pragma once

#include "alpa/IR/ShardyText.h"
#include "core/mesh/Sharding.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace alpa {

/// The sharding as Shardy spells it, every dim closed.
TensorShardingText shardingText(const Sharding &sharding, int rank, const DeviceMesh &mesh,
                                llvm::StringRef meshName);

/// Puts `sdy.mesh @name = <["x"=2, "y"=4]>` at the start of the module.
void makeMesh(mlir::ModuleOp module, llvm::StringRef name, const DeviceMesh &mesh);
/// Every mesh of the module, in order.
llvm::SmallVector<mlir::Operation *> meshes(mlir::ModuleOp module);

/// Whether the user shards the inside of `op` by hand (shard_map) or names its collectives.
bool isManuallySharded(mlir::Operation *op);

/// Constrains `value` to `sharding` at the builder's place and returns the constrained value.
mlir::Value makeConstraint(mlir::OpBuilder &builder, mlir::Value value,
                           const TensorShardingText &sharding);
void setConstraint(mlir::Operation *constraint, const TensorShardingText &sharding);

} // namespace alpa
