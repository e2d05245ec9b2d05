// The sharding rule of any op: Shardy's, or ours where Shardy has none.
#pragma once

#include "alpa/IR/ShardyText.h"
#include "mlir/IR/Operation.h"

namespace alpa {

/// The rule of `op`: its `sdy.sharding_rule`, else ours (elementwise ops of chlo, top_k,
/// optimization_barrier).
///
/// Fails with a diagnostic on a rule that is malformed or does not fit the op's types, and without
/// one where there is no rule (ask hasRule() to tell): such an op must be replicated. Loops and
/// branches have none, their ops do.
///
/// A pass-through factor of which only operands, or only results of a custom call, have a dim is
/// returned as NeedReplication: no device could use its part alone (Shardy marks them pass-through,
/// for it never shards by them). So are the rows that a scatter of a single update (one index) may
/// write: XLA would compute wrong numbers.
mlir::FailureOr<ShardingRule> ruleFor(mlir::Operation *op);
bool hasRule(mlir::Operation *op);

} // namespace alpa
