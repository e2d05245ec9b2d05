// Remarks with a code: people read the text, programs tell remarks apart by the code.
#pragma once

#include "mlir/IR/Diagnostics.h"

namespace alpa {

/// A remark whose code travels with it and is not printed.
mlir::InFlightDiagnostic emitCodedRemark(mlir::Location loc, llvm::StringLiteral code);

/// Empty for a diagnostic that has none.
llvm::StringRef codeOf(mlir::Diagnostic &diagnostic);

} // namespace alpa
