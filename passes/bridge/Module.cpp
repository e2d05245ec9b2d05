// alpa::Module: parse, run a pipeline, print.

#include "bridge/Module.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Passes.h"
#include "alpa/Sharding/ChosenShardings.h"
#include "bridge/DiagnosticCollector.h"
#include "bridge/DistinctOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"
#include <stdexcept>

namespace alpa {
namespace {

/// Constants of more elements are large: of fewer, the indices of a gather may matter to a pass.
constexpr int64_t kMaxPlannedElements = 1 << 14;

std::shared_ptr<mlir::MLIRContext> makeContext() {
  auto context = std::make_shared<mlir::MLIRContext>(mlir::MLIRContext::Threading::DISABLED);
  context->allowUnregisteredDialects();
  context->printOpOnDiagnostic(false); // of a function that would be all of it
  context->loadDialect<mlir::func::FuncDialect>();
  return context;
}

std::string plainText(mlir::Attribute attribute) {
  if (auto string = llvm::dyn_cast<mlir::StringAttr>(attribute))
    return string.str();
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (auto integer = llvm::dyn_cast<mlir::IntegerAttr>(attribute))
    integer.getValue().print(stream, /*isSigned=*/true);
  else
    attribute.print(stream);
  return text;
}

std::map<std::string, std::string> plainTexts(mlir::DictionaryAttr attributes) {
  std::map<std::string, std::string> texts;
  if (attributes)
    for (mlir::NamedAttribute attribute : attributes)
      texts[attribute.getName().str()] = plainText(attribute.getValue());
  return texts;
}

ValueSummary summarize(mlir::Type type, mlir::DictionaryAttr attributes) {
  ValueSummary summary;
  summary.attributes = plainTexts(attributes);
  llvm::raw_string_ostream(summary.type) << type;
  summary.shape = shapeOf(type);
  summary.bytes = bytes(type);
  return summary;
}

constexpr llvm::StringRef kNamesOfValues[] = {kValueAttr,   kNameAttr,        kArgumentAttr,
                                              kResultAttr,  kAccumulatorAttr, kPrologueAttr,
                                              kBatchDimAttr};

/// Leaves of attributes that tell values of a step apart only that they are there: names, numbers,
/// and where a slice of a shared value starts.
void removeNames(mlir::ModuleOp module, llvm::ArrayRef<llvm::StringRef> names) {
  mlir::AttrTypeReplacer replacer;
  replacer.addReplacement(
      [names](mlir::DictionaryAttr dictionary) -> std::optional<mlir::Attribute> {
        mlir::NamedAttrList attributes(dictionary);
        for (llvm::StringRef name : names)
          if (attributes.get(name))
            attributes.set(name, mlir::UnitAttr::get(dictionary.getContext()));
        return attributes.getDictionary(dictionary.getContext());
      });
  replacer.recursivelyReplaceElementsIn(module);
  forgetWhereSlicesStart(module);
}

/// SHA-256 in hexadecimal.
std::string hashOf(const std::string &text) {
  return llvm::toHex(llvm::SHA256::hash(llvm::arrayRefFromStringRef(text)), /*LowerCase=*/true);
}

mlir::OwningOpRef<mlir::ModuleOp> parseText(std::string_view text, mlir::MLIRContext *context,
                                            llvm::StringRef name) {
  DiagnosticCollector collector(context);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(llvm::StringRef(text.data(), text.size()),
                                                        context, name);
  if (!module)
    collector.fail("expected an MLIR module in generic form");
  return module;
}

std::string textOf(mlir::Operation *op) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  op->print(stream, mlir::OpPrintingFlags().printGenericOpForm().useLocalScope());
  return text;
}

std::string textOf(mlir::ModuleOp module, bool withLocations, bool withData) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  flags.printGenericOpForm();
  flags.enableDebugInfo(withLocations, false);
  if (!withData)
    flags.elideLargeElementsAttrs(kMaxPlannedElements);
  module.print(stream, flags);
  return text;
}

} // namespace

struct Module::State {
  std::shared_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

Module::Module() : state(std::make_unique<State>(State{makeContext(), {}})) {}
Module::Module(std::shared_ptr<mlir::MLIRContext> context)
    : state(std::make_unique<State>(State{std::move(context), {}})) {}
Module::~Module() = default;
mlir::ModuleOp Module::get() const { return state->module.get(); }

std::unique_ptr<Module> Module::parse(std::string_view text, const std::string &name) {
  std::unique_ptr<Module> result(new Module());
  result->state->module = parseText(text, result->state->context.get(), name);
  return result;
}

std::unique_ptr<Module> Module::clone() const {
  std::unique_ptr<Module> result(new Module(state->context));
  result->state->module = state->module->clone();
  return result;
}

std::unique_ptr<Module> Module::only(const std::string &function) const {
  std::unique_ptr<Module> result = clone();
  mlir::ModuleOp module = result->get();
  auto main = module.lookupSymbol<mlir::func::FuncOp>(function);
  if (!main)
    throw std::invalid_argument("expected a function @" + function + ", got a module without one");
  for (auto other : llvm::make_early_inc_range(module.getOps<mlir::func::FuncOp>()))
    if (other != main)
      other.erase();
  main.setName("main");
  main.setPublic();
  return result;
}

std::vector<FunctionSummary> Module::functions() const {
  std::vector<FunctionSummary> summaries;
  for (auto function : state->module->getOps<mlir::func::FuncOp>()) {
    FunctionSummary summary;
    summary.name = function.getName().str();
    summary.attributes = plainTexts(function->getDiscardableAttrDictionary());
    for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
      summary.arguments.push_back(summarize(type, function.getArgAttrDict(i)));
    for (auto [i, type] : llvm::enumerate(function.getResultTypes()))
      summary.results.push_back(summarize(type, function.getResultAttrDict(i)));
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

std::vector<Diagnostic> Module::run(const std::string &pipeline) {
  registerPasses();
  DiagnosticCollector collector(state->context.get());
  std::string errors;
  llvm::raw_string_ostream stream(errors);
  mlir::FailureOr<mlir::OpPassManager> passes = mlir::parsePassPipeline(pipeline, stream);
  if (mlir::failed(passes) || passes->getOpAnchorName() != mlir::ModuleOp::getOperationName())
    throw std::runtime_error("expected a pipeline such as builtin.module(alpa-normalize), got '" +
                             pipeline + "'" + (errors.empty() ? "" : ": " + errors));
  mlir::PassManager manager(state->context.get());
  static_cast<mlir::OpPassManager &>(manager) = std::move(*passes);
  if (mlir::failed(manager.run(state->module.get())))
    collector.fail("the pipeline '" + pipeline + "' failed");
  return collector.take();
}

bool Module::hasLoops() const {
  return state->module
      ->walk([](mlir::Operation *op) {
        return isWhile(op) ? mlir::WalkResult::interrupt() : mlir::WalkResult::advance();
      })
      .wasInterrupted();
}

int64_t Module::numLayers() const { return alpa::numLayers(state->module.get()); }

std::string Module::contentHash() const { return hashOf(text()); }

std::string Module::structureKey() const {
  std::unique_ptr<Module> nameless = clone();
  removeNames(nameless->get(), kNamesOfValues);
  return nameless->contentHash();
}

std::vector<std::string> Module::functionKeys() const {
  std::unique_ptr<Module> nameless = clone();
  llvm::SmallVector<llvm::StringRef> names(llvm::ArrayRef<llvm::StringRef>{kNamesOfValues});
  names.push_back(kStateAttr);      // counts the results of the step, as
  names.push_back(kGradientOfAttr); // this does its arguments
  removeNames(nameless->get(), names);
  std::vector<std::string> keys;
  for (auto function : nameless->get().getOps<mlir::func::FuncOp>()) {
    function.setName("f"); // a symbol of many, in a module that nobody verifies
    function->walk([](mlir::Operation *op) {
      for (llvm::StringRef name : {kStageAttr, kLayerAttr, kOpIdAttr})
        op->removeDiscardableAttr(name);
    });
    keys.push_back(hashOf(textOf(function)));
  }
  return keys;
}

std::string Module::text(bool withLocations, bool withData) const {
  return textOf(state->module.get(), withLocations, withData);
}

std::string Module::distinctOps() const {
  return textOf(alpa::distinctOps(state->module.get()).get(), /*withLocations=*/true,
                /*withData=*/false);
}

void Module::takeRules(std::string_view text) {
  auto distinct = parseText(text, state->context.get(), "distinct_ops");
  if (mlir::failed(alpa::takeRules(state->module.get(), distinct.get())))
    throw std::invalid_argument("expected the distinct ops of this module, got others");
}

} // namespace alpa
