// Every pass of alpa_mlir; the texts are in Passes.td.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include <memory>

namespace alpa {

#define GEN_PASS_DECL
#include "alpa/Passes.h.inc"

/// Registers every alpa pass and pipeline with the process-wide pass registry. Idempotent.
void registerPasses();

} // namespace alpa
