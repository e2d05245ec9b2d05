// Names of the attributes that our passes leave on ops and arguments.
#pragma once

#include "llvm/ADT/StringRef.h"

namespace alpa {

/// `alpa.op = 7 : i64`: the number of an op in program order, by which plans and reports name it
/// (alpa-normalize).
inline constexpr llvm::StringLiteral kOpIdAttr = "alpa.op";
/// `alpa.batch` (unit) on an argument: dim 0 counts examples.
inline constexpr llvm::StringLiteral kBatchAttr = "alpa.batch";
/// `alpa.state = 3 : i64` on an argument: result 3 is its value for the next step.
inline constexpr llvm::StringLiteral kStateAttr = "alpa.state";

/// `alpa.name = "state.params['w']"` on an argument: what its user calls it.
inline constexpr llvm::StringLiteral kNameAttr = "alpa.name";

} // namespace alpa
