// alpa-opt: mlir-opt with jaxlib at both ends. The user's file stays in the source manager, and the
// generic text that the passes see carries locations into it: so diagnostics show the user's lines,
// and -verify-diagnostics finds the user's comments.

#include "opt/Opt.h"
#include "HostPasses.h"
#include "alpa/Passes.h"
#include "mlir/Debug/CLOptionsSetup.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Support/Timing.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/WithColor.h"

namespace alpa {
namespace {

using mlir::failed;
using mlir::failure;
using mlir::LogicalResult;
using mlir::success;
using VerifierHandler = mlir::SourceMgrDiagnosticVerifierHandler;

/// A part of the input between two split markers.
struct Chunk {
  llvm::StringRef text;
  size_t firstLine; ///< counted from 0
};

std::vector<Chunk> split(llvm::StringRef source, llvm::StringRef marker) {
  if (marker.empty())
    return {{source, 0}};
  llvm::SmallVector<llvm::StringRef> texts;
  source.split(texts, marker);
  std::vector<Chunk> chunks;
  size_t line = 0;
  for (llvm::StringRef text : texts) {
    chunks.push_back({text, line});
    line += text.count('\n');
  }
  return chunks;
}

/// One run of alpa-opt over one input file.
class Run {
public:
  Run(const mlir::MlirOptMainConfig &config, const DialectHost &host,
      std::unique_ptr<llvm::MemoryBuffer> input)
      : config(config), host(host), source(input->getBuffer()),
        fileName(input->getBufferIdentifier()) {
    sourceManager.AddNewSourceBuffer(std::move(input), llvm::SMLoc());
  }

  LogicalResult process(llvm::raw_ostream &output) {
    std::unique_ptr<VerifierHandler> verifier;
    if (config.shouldVerifyDiagnostics()) {
      // It outlives the chunks' contexts, which it is registered with one after the other.
      verifier = std::make_unique<VerifierHandler>(sourceManager, &verifierContext,
                                                   config.verifyDiagnosticsLevel());
    }
    bool ok = true, first = true;
    for (const Chunk &chunk : split(source, config.inputSplitMarker())) {
      if (!std::exchange(first, false))
        output << config.outputSplitMarker() << '\n';
      ok &= mlir::succeeded(processChunk(chunk, verifier.get(), output));
    }
    // With -verify-diagnostics a failure that was expected is a success.
    return verifier ? verifier->verify() : success(ok);
  }

private:
  LogicalResult processChunk(const Chunk &chunk, VerifierHandler *verifier,
                             llvm::raw_ostream &output) {
    mlir::MLIRContext context;
    context.allowUnregisteredDialects();
    context.loadDialect<mlir::func::FuncDialect>();
    std::optional<mlir::SourceMgrDiagnosticHandler> printer;
    if (verifier) {
      verifier->registerInContext(&context);
      context.printOpOnDiagnostic(false);
    } else {
      printer.emplace(sourceManager, &context);
    }
    mlir::tracing::InstallDebugHandler debug(context, config.getDebugConfig());
    return transform(chunk, context, output);
  }

  LogicalResult transform(const Chunk &chunk, mlir::MLIRContext &context,
                          llvm::raw_ostream &output) {
    mlir::DefaultTimingManager timingManager;
    mlir::applyDefaultTimingManagerCLOptions(timingManager);
    mlir::TimingScope timing = timingManager.getRootScope();

    mlir::TimingScope reading = timing.nest("Read");
    // Empty lines in front keep the line numbers of the whole file.
    std::string padded = std::string(chunk.firstLine, '\n') + chunk.text.str();
    mlir::OwningOpRef<mlir::ModuleOp> module =
        hostModule(host.read(padded, fileName, config.shouldAllowUnregisteredDialects()), context);
    reading.stop();
    if (!module)
      return failure();

    mlir::PassManager passes(&context, mlir::ModuleOp::getOperationName());
    passes.enableVerifier(config.shouldVerifyPasses());
    passes.enableTiming(timing);
    if (failed(mlir::applyPassManagerCLOptions(passes)) || failed(config.setupPassPipeline(passes)))
      return failure();
    if (failed(passes.run(*module)))
      return failure();

    mlir::TimingScope writing = timing.nest("Write");
    std::optional<std::string> text =
        hostText(host.write(genericText(*module), outputForm()), context);
    if (!text)
      return failure();
    output << *text;
    return success();
  }

  OutputForm outputForm() const {
    mlir::OpPrintingFlags flags; // as the command line has them
    OutputForm form;
    form.generic = flags.shouldPrintGenericOpForm();
    form.debugInfo = flags.shouldPrintDebugInfo();
    form.prettyDebugInfo = flags.shouldPrintDebugInfoPrettyForm();
    form.localScope = flags.shouldUseLocalScope();
    form.elideElementsLargerThan = flags.getLargeElementsAttrLimit();
    form.bytecode = config.shouldEmitBytecode();
    form.bytecodeVersion = config.bytecodeVersionToEmit();
    return form;
  }

  const mlir::MlirOptMainConfig &config;
  const DialectHost &host;
  llvm::SourceMgr sourceManager;
  mlir::MLIRContext verifierContext{mlir::MLIRContext::Threading::DISABLED};
  llvm::StringRef source;
  std::string fileName;
};

void registerEverything(const DialectHost &host, mlir::DialectRegistry &registry) {
  registry.insert<mlir::func::FuncDialect>();
  registerPasses();
  registerHostPasses(host);
  mlir::registerTransformsPasses();
}

/// mlir-opt's options that mean nothing with jaxlib at both ends, or would load a second MLIR.
/// Unknown options are better than ignored ones.
void removeForeignOptions() {
  auto &options = llvm::cl::getRegisteredOptions();
  for (llvm::StringRef name :
       {"elide-resource-data-from-bytecode", "irdl-file", "load-dialect-plugin", "load-pass-plugin",
        "no-implicit-module", "run-reproducer", "show-dialects", "verify-roundtrip"})
    if (auto found = options.find(name); found != options.end())
      found->second->removeArgument();
}

int complain(const std::string &message) {
  llvm::WithColor::error(llvm::errs(), "alpa-opt") << message << '\n';
  return 1;
}

} // namespace

int runOpt(const std::vector<std::string> &arguments, const std::string &hostVersion,
           const DialectHost &host) {
  mlir::DialectRegistry registry;
  registerEverything(host, registry);
  llvm::cl::SetVersionPrinter([&](llvm::raw_ostream &os) {
    os << "alpa-opt " ALPA_VERSION ", MLIR " LLVM_VERSION_STRING ", " << hostVersion << '\n';
  });

  std::vector<char *> argv;
  for (const std::string &argument : arguments)
    argv.push_back(const_cast<char *>(argument.c_str()));
  mlir::registerCLIOptions("alpa-opt", registry);
  removeForeignOptions();
  auto [inputName, outputName] = mlir::parseCLIOptions(
      static_cast<int>(argv.size()), argv.data(), "alpa-opt: MLIR passes over StableHLO modules\n");
  mlir::MlirOptMainConfig config = mlir::MlirOptMainConfig::createFromCLOptions();
  if (config.shouldListPasses()) {
    mlir::printRegisteredPasses();
    return 0;
  }

  std::string error;
  std::unique_ptr<llvm::MemoryBuffer> input = mlir::openInputFile(inputName, &error);
  if (!input)
    return complain(error);
  // A file that is there stays as it is until there is something to put in its place.
  std::string text;
  llvm::raw_string_ostream stream(text);
  const bool isDone = succeeded(Run(config, host, std::move(input)).process(stream));
  if (!isDone && outputName != "-")
    return 1;
  std::unique_ptr<llvm::ToolOutputFile> output = mlir::openOutputFile(outputName, &error);
  if (!output)
    return complain(error);
  output->os() << text;
  output->keep();
  return isDone ? 0 : 1;
}

} // namespace alpa
