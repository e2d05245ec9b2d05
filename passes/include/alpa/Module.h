// The door to MLIR for code that must not include its headers (the Python bindings): one parsed
// module with a context of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mlir {
class ModuleOp;
}

namespace alpa {

/// One message of a pass or of the parser.
struct Diagnostic {
  std::string severity; ///< "error", "warning", "remark" or "note"
  std::string location; ///< "file:line:column", or empty where unknown
  std::string message;
};

/// A module in generic form, in a context that accepts unregistered dialects.
/// Every function that fails throws std::runtime_error whose text is the errors, one per line, with
/// their locations.
class Module {
public:
  /// Parses generic-form text (or MLIR bytecode). `name` is the file name in locations.
  static std::unique_ptr<Module> parse(std::string_view text, const std::string &name);
  ~Module();

  /// Runs a textual pass pipeline ("alpa-normalize,alpa-annotate-shardings{...}") and returns its
  /// remarks and warnings.
  std::vector<Diagnostic> run(const std::string &pipeline);

  /// Generic-form text, with locations when `withLocations`.
  std::string text(bool withLocations = false) const;

  mlir::ModuleOp get() const;

private:
  Module();
  struct State;
  std::unique_ptr<State> state;
};

} // namespace alpa
