// Modules go to jaxlib and come back as generic text. A pass of jaxlib's therefore looks, inside a
// pipeline of ours, like any other module pass.

#include "HostPasses.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringSwitch.h"

namespace alpa {
namespace {

mlir::DiagnosticSeverity severityNamed(llvm::StringRef name) {
  return llvm::StringSwitch<mlir::DiagnosticSeverity>(name)
      .Case("warning", mlir::DiagnosticSeverity::Warning)
      .Case("remark", mlir::DiagnosticSeverity::Remark)
      .Case("note", mlir::DiagnosticSeverity::Note)
      .Default(mlir::DiagnosticSeverity::Error);
}

mlir::Location parsedLocation(const std::string &text, mlir::MLIRContext &context) {
  auto location =
      llvm::dyn_cast_if_present<mlir::LocationAttr>(mlir::parseAttribute(text, &context));
  return location ? mlir::Location(location) : mlir::UnknownLoc::get(&context);
}

void emit(const std::vector<HostDiagnostic> &diagnostics, mlir::MLIRContext &context) {
  std::optional<mlir::InFlightDiagnostic> current;
  for (const HostDiagnostic &diagnostic : diagnostics) {
    mlir::Location location = parsedLocation(diagnostic.location, context);
    mlir::DiagnosticSeverity severity = severityNamed(diagnostic.severity);
    if (severity == mlir::DiagnosticSeverity::Note && current) {
      current->attachNote(location) << diagnostic.message;
      continue;
    }
    current.reset(); // reports the one before
    current.emplace(context.getDiagEngine().emit(location, severity) << diagnostic.message);
  }
}

/// One of jaxlib's passes, known here by the same name.
class HostPass : public mlir::PassWrapper<HostPass, mlir::OperationPass<mlir::ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(HostPass)

  HostPass(const DialectHost &host, llvm::StringRef name, llvm::StringRef pipeline,
           llvm::StringRef description)
      : host(host), name(name), pipeline(pipeline), description(description) {}

  llvm::StringRef getArgument() const override { return name; }
  llvm::StringRef getDescription() const override { return description; }
  llvm::StringRef getName() const override { return name; }

  void runOnOperation() override {
    mlir::ModuleOp module = getOperation();
    mlir::OwningOpRef<mlir::ModuleOp> result =
        hostModule(host.transform(genericText(module), pipeline.str()), getContext());
    if (!result)
      return signalPassFailure();
    module->setAttrs(result->getOperation()->getAttrDictionary());
    module.getBodyRegion().takeBody(result->getBodyRegion());
  }

private:
  const DialectHost &host;
  llvm::StringRef name, pipeline, description;
};

} // namespace

std::string genericText(mlir::ModuleOp module) {
  // The flags start from the command line's; nothing may be left out here.
  mlir::OpPrintingFlags flags;
  flags.printGenericOpForm().enableDebugInfo(true, /*prettyForm=*/false).skipRegions(false);
  flags.elideLargeElementsAttrs(std::numeric_limits<int64_t>::max());
  flags.elideLargeResourceString(std::numeric_limits<int64_t>::max());
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream, flags);
  return text;
}

std::optional<std::string> hostText(HostAnswer answer, mlir::MLIRContext &context) {
  emit(answer.diagnostics, context);
  return std::move(answer.text);
}

mlir::OwningOpRef<mlir::ModuleOp> hostModule(HostAnswer answer, mlir::MLIRContext &context) {
  std::optional<std::string> text = hostText(std::move(answer), context);
  if (!text)
    return nullptr;
  return mlir::parseSourceString<mlir::ModuleOp>(*text, &context, "generic form");
}

void registerHostPasses(const DialectHost &host) {
  mlir::registerPass([&host]() -> std::unique_ptr<mlir::Pass> {
    return std::make_unique<HostPass>(
        host, "sdy-populate-op-sharding-rules",
        "builtin.module(func.func(sdy-populate-op-sharding-rules))",
        "Shardy: attach to every op the factor map of its dims (runs in jaxlib)");
  });
}

} // namespace alpa
