// Passes that alpa-opt borrows from jaxlib, and the exchange of modules with it.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "opt/Opt.h"

namespace alpa {

/// The whole module in generic form with locations: what the host reads.
std::string genericText(mlir::ModuleOp module);

/// The answer's text, or nothing after its diagnostics were emitted into the context.
std::optional<std::string> hostText(HostAnswer answer, mlir::MLIRContext &context);

/// The answer parsed, or null after diagnostics.
mlir::OwningOpRef<mlir::ModuleOp> hostModule(HostAnswer answer, mlir::MLIRContext &context);

/// Registers the Shardy passes that our pipelines need between their own.
void registerHostPasses(const DialectHost &host);

} // namespace alpa
