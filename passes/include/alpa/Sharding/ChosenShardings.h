// Chosen shardings in the IR, between the solver and alpa-annotate-shardings: what each op reads
// and leaves, as text such as "{x},{}".
//
//   module           alpa.mesh = {axes = ["x", "y"], sizes = [2, 4], devices_per_node = 4,
//                                 intra_node = {latency_seconds = ..., bytes_per_second = ...},
//                                 inter_node = {...}, has_reduce_scatter = true,
//                                 memory_bytes_per_second = ...}
//   an argument      alpa.sharding = "{x},{}"; a result too, where it is not for its op to say
//   an op            alpa.operands = ["{x},{}", ...], alpa.results = [...]
//   a loop, branch,  alpa.results: one per carried value
//   or barrier
#pragma once

#include "core/mesh/Sharding.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include <optional>

namespace alpa {

inline constexpr llvm::StringLiteral kShardingOfValueAttr = "alpa.sharding";
inline constexpr llvm::StringLiteral kResultShardingsAttr = "alpa.results";

void writeMesh(mlir::ModuleOp module, const DeviceMesh &mesh, const DeviceSpec &device);
void writeArgument(mlir::FunctionOpInterface func, unsigned argument, const Sharding &sharding,
                   const DeviceMesh &mesh);
void writeOperands(mlir::Operation *op, llvm::ArrayRef<Sharding> shardings, const DeviceMesh &mesh);
void writeResults(mlir::Operation *op, llvm::ArrayRef<Sharding> shardings, const DeviceMesh &mesh);

/// The mesh a module was planned for, with the rates that routes are chosen by.
struct ChosenMesh {
  DeviceMesh mesh;
  DeviceSpec device;
};
/// Fails with a diagnostic where `alpa.mesh` is missing or malformed.
mlir::FailureOr<ChosenMesh> readMesh(mlir::ModuleOp module);

/// The shardings written for an op or argument; nullopt where there are none. Malformed text is a
/// diagnostic and failure.
using MaybeShardings = mlir::FailureOr<std::optional<llvm::SmallVector<Sharding>>>;
MaybeShardings readOperands(mlir::Operation *op, const DeviceMesh &mesh);
MaybeShardings readResults(mlir::Operation *op, const DeviceMesh &mesh);
mlir::FailureOr<std::optional<Sharding>> readArgument(mlir::FunctionOpInterface func,
                                                      unsigned argument, const DeviceMesh &mesh);
/// How a result is to lie, where that is written.
mlir::FailureOr<std::optional<Sharding>> readResult(mlir::FunctionOpInterface func, unsigned result,
                                                    const DeviceMesh &mesh);

/// Takes every attribute of this header away.
void eraseChoices(mlir::ModuleOp module);

/// The result that holds the next value of a state argument (`alpa.state`), where there is one of
/// its shape.
std::optional<unsigned> updatedBy(mlir::FunctionOpInterface func, unsigned argument);

/// Static shape and element size of a tensor; no dims and 0 bytes for tokens and their like.
std::vector<int64_t> shapeOf(mlir::Type type);
int64_t elementBytesOf(mlir::Type type);
std::string elementTypeName(mlir::Type type);

} // namespace alpa
