// DiagnosticCollector: severity, location and text of each diagnostic.

#include "bridge/DiagnosticCollector.h"
#include "alpa/IR/Remark.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Location.h"
#include <stdexcept>

namespace alpa {
namespace {

std::string printed(mlir::Location loc) {
  if (auto file = loc->findInstanceOf<mlir::FileLineColLoc>())
    return file.getFilename().str() + ":" + std::to_string(file.getLine()) + ":" +
           std::to_string(file.getColumn());
  return "";
}

const char *name(mlir::DiagnosticSeverity severity) {
  switch (severity) {
  case mlir::DiagnosticSeverity::Error:
    return "error";
  case mlir::DiagnosticSeverity::Warning:
    return "warning";
  case mlir::DiagnosticSeverity::Remark:
    return "remark";
  case mlir::DiagnosticSeverity::Note:
    return "note";
  }
  return "note";
}

} // namespace

DiagnosticCollector::DiagnosticCollector(mlir::MLIRContext *context)
    : handler(context, [this](mlir::Diagnostic &diagnostic) {
        add(diagnostic);
        for (mlir::Diagnostic &note : diagnostic.getNotes())
          add(note);
      }) {}

void DiagnosticCollector::add(mlir::Diagnostic &diagnostic) {
  all.push_back({name(diagnostic.getSeverity()), printed(diagnostic.getLocation()),
                 diagnostic.str(), codeOf(diagnostic).str()});
}

void DiagnosticCollector::fail(const std::string &fallback) const {
  std::string text;
  for (const Diagnostic &d : all)
    if (d.severity == "error" || d.severity == "note")
      text += (text.empty() ? "" : "\n") + (d.location.empty() ? "" : d.location + ": ") +
              d.severity + ": " + d.message;
  throw std::runtime_error(text.empty() ? fallback : text);
}

} // namespace alpa
