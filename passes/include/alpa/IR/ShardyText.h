// Shardy's attributes as plain values: the sharding rule of an op, meshes and shardings. The only
// place that knows how they are spelled. They are read from their printed text, so it makes no
// difference whether the host has registered the dialect `sdy`, and written such that a parser that
// has gets the real attribute.
#pragma once

#include "mlir/IR/Attributes.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>
#include <string>
#include <vector>

namespace alpa {

using EmitError = llvm::function_ref<mlir::InFlightDiagnostic()>;

/// What sharding a factor means for an op.
enum class FactorKind {
  PassThrough,     ///< every device works on its part alone
  Reduction,       ///< every device has a partial result: an all-reduce or reduce-scatter follows
  NeedReplication, ///< must not be sharded
  Permutation      ///< devices exchange data with their neighbours (halo, slice of a sharded dim)
};

/// What `#sdy.op_sharding_rule` says of one op: the factors its operands and results share.
///
/// `([i, kl], [k, j])->([i, j]) {i=8, j=16, k=4, l=2} reduction={k}` has factors i, j, k, l
/// numbered 0 to 3; dim 1 of operand 0 is k (major) times l (minor).
struct ShardingRule {
  /// Per dim of a tensor, its factors, major first.
  using TensorFactors = std::vector<llvm::SmallVector<int, 2>>;

  std::vector<int64_t> factorSizes;
  std::vector<FactorKind> factorKinds;
  std::vector<TensorFactors> operands, results;
  /// Factors through which Shardy does not propagate; they say nothing about cost.
  std::vector<int> blockedFactors;
  /// Given by whoever made the op, not derived by Shardy.
  bool isCustom = false;

  int numFactors() const { return static_cast<int>(factorSizes.size()); }
  /// Adds a factor and returns its number.
  int addFactor(int64_t size, FactorKind kind = FactorKind::PassThrough);
};

/// The attribute under which `sdy-populate-op-sharding-rules` leaves the rule of an op.
inline constexpr llvm::StringLiteral kShardingRuleAttr = "sdy.sharding_rule";
/// The attribute of function arguments and results that holds a sharding.
inline constexpr llvm::StringLiteral kShardingAttr = "sdy.sharding";

/// i, j, ..., z, z_1, z_2, ...
std::string factorName(int factor);
mlir::FailureOr<ShardingRule> parseShardingRule(mlir::Attribute attr, EmitError emitError);
std::string print(const ShardingRule &rule);

struct MeshAxis {
  std::string name;
  int64_t size = 1;
};

/// `#sdy.mesh<["x"=2, "y"=4], device_ids=[...]>`; no ids means 0, 1, 2, ...
struct MeshText {
  std::vector<MeshAxis> axes;
  std::vector<int64_t> deviceIds;
};
mlir::FailureOr<MeshText> parseMesh(mlir::Attribute attr, EmitError emitError);
std::string print(const MeshText &mesh);
mlir::Attribute makeAttr(mlir::MLIRContext *context, const MeshText &mesh);

/// How one dim is sharded. An axis is its name, or for a part of one `name:(pre-size)size`, as
/// Shardy prints it.
struct DimShardingText {
  std::vector<std::string> axes; ///< major first
  bool isClosed = true;          ///< false (`?`): propagation may add axes
  std::optional<int64_t> priority = std::nullopt;
};

/// `#sdy.sharding<@mesh, [{"x"}, {?}], replicated={"y"}, unreduced={"z"}>`.
struct TensorShardingText {
  std::string meshName;
  std::vector<DimShardingText> dims;
  std::vector<std::string> replicatedAxes = {};
  std::vector<std::string> unreducedAxes = {};
};

/// Fails on a mesh written inside the sharding: only named meshes are supported.
mlir::FailureOr<TensorShardingText> parseSharding(mlir::Attribute attr, EmitError emitError);
std::string print(const TensorShardingText &sharding);
mlir::Attribute makeAttr(mlir::MLIRContext *context, const TensorShardingText &sharding);

} // namespace alpa
