// Which strategies there are to choose from: all of them, or those of plans that people make by
// hand, the baselines a search is compared with.
#pragma once

#include "mlir/Interfaces/FunctionInterfaces.h"
#include <optional>
#include <string>
#include <vector>

namespace alpa {

struct ShardingTarget;
struct Vertex;

/// All but Auto are baselines and ablations.
enum class StrategySpace {
  Auto,  ///< everything
  Data,  ///< batch split over all axes, parameters and optimizer state replicated
  Zero2, ///< batch split, parameters replicated, optimizer state sharded
  Zero3, ///< batch split, parameters and optimizer state sharded
};

/// "auto", "data", "zero2", "zero3": their names for users, in order.
const std::vector<std::string> &strategySpaceNames();
/// Nullopt, and `error` says what was expected, for any other name.
std::optional<StrategySpace> parseStrategySpace(llvm::StringRef name, std::string &error);

/// Takes away the strategies that are not in the target's space: data parallelism splits the batch
/// over the whole mesh wherever a value has one; ZeRO-2 also shards the optimizer state, ZeRO-3 the
/// parameters too (Rajbhandari et al., SC'20). What a space does not speak of stays free. Fails
/// with a diagnostic where no argument is a batch.
mlir::LogicalResult restrictStrategies(const ShardingTarget &target, mlir::FunctionOpInterface func,
                                       std::vector<Vertex> &vertices);

} // namespace alpa
