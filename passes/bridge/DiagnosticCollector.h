// Keeps the diagnostics of a scope as plain values, for callers that cannot print them.
#pragma once

#include "bridge/Module.h"
#include "mlir/IR/Diagnostics.h"
#include <string>
#include <vector>

namespace alpa {

class DiagnosticCollector {
public:
  explicit DiagnosticCollector(mlir::MLIRContext *context);

  /// Throws std::runtime_error with the errors so far, or `fallback` where there are none.
  [[noreturn]] void fail(const std::string &fallback) const;
  std::vector<Diagnostic> take() { return std::move(all); }

private:
  void add(mlir::Diagnostic &diagnostic);
  std::vector<Diagnostic> all;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace alpa
