// The door to MLIR for code that must not include its headers (the Python bindings): one parsed
// module with a context of its own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mlir {
class MLIRContext;
class ModuleOp;
} // namespace mlir

namespace alpa {

/// One message of a pass or of the parser.
struct Diagnostic {
  std::string severity; ///< "error", "warning", "remark" or "note"
  std::string location; ///< "file:line:column", or empty where unknown
  std::string message;
  std::string code; ///< of a remark: what it is about ("frontier"), whatever the words
};

/// An argument or result of a function. Attributes are text: strings without their quotes, integers
/// without their type.
struct ValueSummary {
  std::map<std::string, std::string> attributes;
  std::string type;
  std::vector<int64_t> shape;
  int64_t bytes = 0;
};

struct FunctionSummary {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::vector<ValueSummary> arguments, results;
};

/// A module in generic form, in a context that accepts unregistered dialects.
/// Every function that fails throws std::runtime_error whose text is the errors, one per line, with
/// their locations.
class Module {
public:
  /// Parses generic-form text (or MLIR bytecode). `name` is the file name in locations.
  static std::unique_ptr<Module> parse(std::string_view text, const std::string &name);
  ~Module();

  /// An equal module. It shares the context: two threads must not use both at a time.
  std::unique_ptr<Module> clone() const;

  /// A module with this function alone, as its public @main, and what is no function. Throws
  /// std::invalid_argument if there is no such function.
  std::unique_ptr<Module> only(const std::string &function) const;

  /// Its functions in order.
  std::vector<FunctionSummary> functions() const;

  /// Runs a textual pass pipeline ("alpa-normalize,alpa-annotate-shardings{...}") and returns its
  /// remarks and warnings.
  std::vector<Diagnostic> run(const std::string &pipeline);

  /// Generic-form text, with locations when `withLocations`. Without data, constants of many
  /// elements are a type and no more: what shardings are planned from, not what is compiled.
  std::string text(bool withLocations = false, bool withData = true) const;

  /// One op of each sort that has no sharding rule yet, as a module (distinctOps), with locations.
  std::string distinctOps() const;

  /// Gives every op the rule of its like in `text`: distinctOps() with rules. Throws
  /// std::invalid_argument if it is not.
  void takeRules(std::string_view text);

  /// Whether an op of it is a loop.
  bool hasLoops() const;

  /// How many layers alpa-cluster-layers made; 0 before it.
  int64_t numLayers() const;

  /// SHA-256 of its text without locations, in hexadecimal.
  std::string contentHash() const;

  /// As contentHash(), but equal for modules that do the same to different values of a step: the
  /// names and numbers of arguments and results do not count, nor where slices start.
  std::string structureKey() const;

  /// As structureKey(), of each of its functions by itself, in order: their names do not count, nor
  /// the stages they are of.
  std::vector<std::string> functionKeys() const;

  mlir::ModuleOp get() const;

private:
  Module();
  explicit Module(std::shared_ptr<mlir::MLIRContext> context);
  struct State;
  std::unique_ptr<State> state;
};

} // namespace alpa
