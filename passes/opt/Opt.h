// The door to alpa-opt: mlir-opt's command line over modules that plain MLIR cannot read. jaxlib
// carries the StableHLO and Shardy dialects, so it parses the input and prints the output; the
// passes run here in between, on generic text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace alpa {

/// What the host says about a module, in MLIR's words.
struct HostDiagnostic {
  std::string
      severity; ///< "error", "warning", "remark" or "note"; a note belongs to the entry before it
  std::string location; ///< printed MLIR location: loc("file":line:column)
  std::string message;
};

/// The text asked for; without one, the diagnostics say why.
struct HostAnswer {
  std::optional<std::string> text;
  std::vector<HostDiagnostic> diagnostics;
};

/// How alpa-opt's result is to be written: mlir-opt's printing flags.
struct OutputForm {
  bool generic = false;
  bool debugInfo = false;
  bool prettyDebugInfo = false;
  bool localScope = false;
  bool bytecode = false;
  std::optional<int64_t> bytecodeVersion;
  std::optional<int64_t> elideElementsLargerThan;
};

/// The dialects' owner. Its functions are called on the thread that called runOpt.
struct DialectHost {
  /// Any form of a module (pretty or generic text, bytecode, portable artifact) → generic text with
  /// locations. `fileName` names the source in locations.
  std::function<HostAnswer(std::string_view source, const std::string &fileName,
                           bool allowUnregisteredDialects)>
      read;
  /// Generic text → the output.
  std::function<HostAnswer(std::string_view generic, const OutputForm &form)> write;
  /// Generic text → generic text after one of the host's own passes.
  std::function<HostAnswer(std::string_view generic, const std::string &pipeline)> transform;
};

/// mlir-opt's main: parses `arguments` (the program's name first), returns the exit status. For a
/// process of its own: LLVM's command line is global (so at most one call per process) and answers
/// --help, --version and unknown options by leaving the process.
int runOpt(const std::vector<std::string> &arguments, const std::string &hostVersion,
           const DialectHost &host);

} // namespace alpa
