// alpa::Module: parse, run a pipeline, print.

#include "alpa/Module.h"
#include "DiagnosticCollector.h"
#include "alpa/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/raw_ostream.h"
#include <stdexcept>

namespace alpa {
struct Module::State {
  State() : context(mlir::MLIRContext::Threading::DISABLED) {
    context.allowUnregisteredDialects();
    context.loadDialect<mlir::func::FuncDialect>();
  }
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

Module::Module() : state(std::make_unique<State>()) {}
Module::~Module() = default;
mlir::ModuleOp Module::get() const { return state->module.get(); }

std::unique_ptr<Module> Module::parse(std::string_view text, const std::string &name) {
  std::unique_ptr<Module> result(new Module());
  DiagnosticCollector collector(&result->state->context);
  result->state->module = mlir::parseSourceString<mlir::ModuleOp>(
      llvm::StringRef(text.data(), text.size()), &result->state->context, name);
  if (!result->state->module)
    collector.fail("expected an MLIR module in generic form");
  return result;
}

std::vector<Diagnostic> Module::run(const std::string &pipeline) {
  registerPasses();
  DiagnosticCollector collector(&state->context);
  std::string errors;
  llvm::raw_string_ostream stream(errors);
  mlir::FailureOr<mlir::OpPassManager> passes = mlir::parsePassPipeline(pipeline, stream);
  if (mlir::failed(passes) || passes->getOpAnchorName() != mlir::ModuleOp::getOperationName())
    throw std::runtime_error("expected a pipeline such as builtin.module(alpa-normalize), got '" +
                             pipeline + "'" + (errors.empty() ? "" : ": " + errors));
  mlir::PassManager manager(&state->context);
  static_cast<mlir::OpPassManager &>(manager) = std::move(*passes);
  if (mlir::failed(manager.run(state->module.get())))
    collector.fail("the pipeline '" + pipeline + "' failed");
  return collector.take();
}

std::string Module::text(bool withLocations) const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  flags.printGenericOpForm();
  flags.enableDebugInfo(withLocations, false);
  state->module->print(stream, flags);
  return text;
}

} // namespace alpa
