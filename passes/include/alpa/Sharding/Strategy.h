// The ways to run one op on a mesh: which axis splits which factor of its sharding rule (Alpa,
// section 4.1, with Shardy's factors in place of a table of op handlers).
#pragma once

#include "alpa/IR/ShardyText.h"
#include "core/mesh/Collective.h"
#include "core/mesh/Sharding.h"
#include "mlir/IR/Operation.h"
#include <string>
#include <vector>

namespace alpa {

/// One strategy of a node. What flows in must have `operands[i]`, what flows out has `results[i]`.
struct Strategy {
  /// "x=i,y=l" for axes on factors; "y=l>0" where the partial sums are scattered over result dim 0.
  std::string name;
  llvm::SmallVector<Sharding, 3> operands;
  llvm::SmallVector<Sharding, 1> results;
  llvm::SmallVector<Collective, 1> collectives; ///< of partial sums
  double seconds = 0;                           ///< compute and collectives, once
  double reductionSeconds = 0;                  ///< of those, what collectives take
  /// Axes over which partial sums stay apart until the update, which runs `collectives`; until then
  /// the result lies without them.
  AxisSet unreduced = 0;
  bool isFixed = false; ///< whether it is one of those that the user left, by fixing a sharding
};

/// What enumeration needs to know of an op beside its rule.
struct OpCost {
  double flops = 0;
  double memoryBytes = 0; ///< moved to and from memory, all operands and results unsharded
  /// Written on top, before partial results are added: on every device all of its shard of the
  /// result, however the work is split.
  double filledBytes = 0;
  std::string elementType;
  std::string opClass = "elementwise"; ///< see costClass()
};

/// The class of ops whose measured curves an op is priced by; see OpWork.
std::string costClass(mlir::Operation *op);

/// Every strategy of `op` under `rule`: each axis splits one factor or none. Factors that need
/// replication or permute are not split, nor is a reduction whose partial results XLA cannot
/// combine. The replicated strategy comes first and the order is fixed.
std::vector<Strategy> enumerateStrategies(mlir::Operation *op, const ShardingRule &rule,
                                          const OpCost &cost, const DeviceMesh &mesh,
                                          const DeviceSpec &device);

/// The one strategy of an op nothing is known of: every operand and result replicated.
Strategy replicatedStrategy(mlir::Operation *op, const OpCost &cost, const DeviceSpec &device);

/// Seconds of one shard's share of an op on one device, computing or moving data.
double computeSeconds(const OpCost &cost, int64_t numShards, int64_t numResultShards,
                      const DeviceSpec &device);

} // namespace alpa
