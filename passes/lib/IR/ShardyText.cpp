// Parses and prints Shardy's attributes; see the header.

#include "alpa/IR/ShardyText.h"
#include "TextCursor.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/MLIRContext.h"

namespace alpa {
namespace {

/// Runs `read` over the text of `attr` and turns what the cursor remembers into a diagnostic.
template <typename Value>
mlir::FailureOr<Value> parse(mlir::Attribute attr, EmitError emitError,
                             llvm::function_ref<void(TextCursor &, Value &)> read) {
  std::string text = printed(attr);
  TextCursor cursor(text);
  Value value;
  read(cursor, value);
  cursor.expectEnd();
  if (!cursor.failed())
    return value;
  emitError() << cursor.error() << " in '" << text << "'";
  return mlir::failure();
}

mlir::Attribute parsed(mlir::MLIRContext *context, const std::string &text) {
  return mlir::parseAttribute(text, context);
}

/// `item, item, ...`
template <typename Range, typename Print> std::string joined(const Range &range, Print print) {
  std::string text;
  for (const auto &item : range)
    text += (text.empty() ? "" : ", ") + print(item);
  return text;
}

// Factors are named by letters from i on; after z comes z_1.
constexpr int kFactorOfZ = 'z' - 'i';

/// A dim such as `i`, `kl` or `z_1z_2`: factor names side by side.
int acceptFactor(TextCursor &cursor) {
  char letter;
  if (!cursor.acceptLetter('i', 'z', letter))
    return -1;
  if (letter == 'z' && cursor.accept("_"))
    return kFactorOfZ + static_cast<int>(cursor.integer());
  return letter - 'i';
}

int parseFactor(TextCursor &cursor, int numFactors) {
  cursor.accept(" ");
  int factor = acceptFactor(cursor);
  if (factor < 0 || factor >= numFactors)
    cursor.fail("a factor with a size");
  return factor;
}

ShardingRule::TensorFactors parseTensorFactors(TextCursor &cursor) {
  ShardingRule::TensorFactors dims;
  cursor.list("[", "]", [&] {
    auto &dim = dims.emplace_back();
    cursor.at(""); // skips the space after a comma
    for (int factor = acceptFactor(cursor); factor >= 0; factor = acceptFactor(cursor))
      dim.push_back(factor);
    if (dim.empty())
      cursor.fail("a factor");
  });
  return dims;
}

bool namesOnlyFactorsBelow(llvm::ArrayRef<ShardingRule::TensorFactors> tensors, int numFactors) {
  for (const auto &tensor : tensors)
    for (const auto &dim : tensor)
      for (int factor : dim)
        if (factor >= numFactors)
          return false;
  return true;
}

void readRule(TextCursor &cursor, ShardingRule &rule) {
  cursor.expect("#sdy.op_sharding_rule<");
  cursor.list("(", ")", [&] { rule.operands.push_back(parseTensorFactors(cursor)); });
  cursor.expect("->");
  cursor.list("(", ")", [&] { rule.results.push_back(parseTensorFactors(cursor)); });
  if (cursor.at("{"))
    cursor.list("{", "}", [&] {
      if (parseFactor(cursor, rule.numFactors() + 1) != rule.numFactors())
        cursor.fail("factors in order");
      cursor.expect("=");
      rule.addFactor(cursor.integer());
    });
  auto kind = [&](llvm::StringRef name, FactorKind kind) {
    if (cursor.accept(name))
      cursor.list("={", "}", [&] {
        int factor = parseFactor(cursor, rule.numFactors());
        if (!cursor.failed())
          rule.factorKinds[factor] = kind;
      });
  };
  kind("reduction", FactorKind::Reduction);
  kind("need_replication", FactorKind::NeedReplication);
  kind("permutation", FactorKind::Permutation);
  if (cursor.accept("blocked_propagation"))
    cursor.list("={", "}",
                [&] { rule.blockedFactors.push_back(parseFactor(cursor, rule.numFactors())); });
  if (cursor.accept(","))
    cursor.expect("custom"), rule.isCustom = true;
  cursor.expect(">");
  if (!cursor.failed() && !(namesOnlyFactorsBelow(rule.operands, rule.numFactors()) &&
                            namesOnlyFactorsBelow(rule.results, rule.numFactors())))
    cursor.fail("a size for every factor it names");
}

void readMesh(TextCursor &cursor, MeshText &mesh) {
  cursor.expect("#sdy.mesh<");
  cursor.list("[", "]", [&] {
    MeshAxis &axis = mesh.axes.emplace_back();
    axis.name = cursor.quoted();
    cursor.expect("=");
    axis.size = cursor.integer();
  });
  if (cursor.accept(",")) {
    cursor.expect("device_ids=");
    cursor.list("[", "]", [&] { mesh.deviceIds.push_back(cursor.integer()); });
  }
  cursor.expect(">");
}

std::string parseAxis(TextCursor &cursor) {
  std::string axis = cursor.quoted();
  if (cursor.accept(":(")) {
    std::string preSize = std::to_string(cursor.integer());
    cursor.expect(")");
    axis += ":(" + preSize + ")" + std::to_string(cursor.integer());
  }
  return axis;
}

std::string printAxis(const std::string &axis) {
  size_t part = axis.rfind(":(");
  return "\"" + axis.substr(0, part) + "\"" + (part == std::string::npos ? "" : axis.substr(part));
}

void readDim(TextCursor &cursor, DimShardingText &dim) {
  cursor.list("{", "}", [&] {
    if (cursor.accept("?"))
      dim.isClosed = false;
    else
      dim.axes.push_back(parseAxis(cursor));
  });
  if (cursor.accept("p"))
    dim.priority = cursor.integer();
}

/// `<@mesh, [{...}, ...], replicated={...}, unreduced={...}>`
void readShardingBody(TextCursor &cursor, TensorShardingText &sharding) {
  cursor.expect("<");
  if (!cursor.accept("@"))
    cursor.fail("a mesh symbol such as '@mesh'");
  sharding.meshName = cursor.at("\"") ? cursor.quoted() : cursor.word().str();
  cursor.expect(",");
  cursor.list("[", "]", [&] { readDim(cursor, sharding.dims.emplace_back()); });
  while (cursor.accept(",")) {
    bool isReplicated = cursor.accept("replicated=");
    if (!isReplicated)
      cursor.expect("unreduced=");
    auto &axes = isReplicated ? sharding.replicatedAxes : sharding.unreducedAxes;
    cursor.list("{", "}", [&] { axes.push_back(parseAxis(cursor)); });
  }
  cursor.expect(">");
}

std::string printDim(const DimShardingText &dim) {
  std::string text = joined(dim.axes, printAxis);
  if (!dim.isClosed)
    text += text.empty() ? "?" : ", ?";
  return "{" + text + "}" + (dim.priority ? "p" + std::to_string(*dim.priority) : "");
}

std::string printShardingBody(const TensorShardingText &sharding) {
  std::string text = "<@" + sharding.meshName + ", [" + joined(sharding.dims, printDim) + "]";
  if (!sharding.replicatedAxes.empty())
    text += ", replicated={" + joined(sharding.replicatedAxes, printAxis) + "}";
  if (!sharding.unreducedAxes.empty())
    text += ", unreduced={" + joined(sharding.unreducedAxes, printAxis) + "}";
  return text + ">";
}

std::string printTensorFactors(const ShardingRule::TensorFactors &dims) {
  return "[" +
         joined(dims,
                [](const auto &dim) {
                  std::string names;
                  for (int factor : dim)
                    names += factorName(factor);
                  return names;
                }) +
         "]";
}

/// ` reduction={i, j}`, or nothing where no factor is of the kind.
std::string printKind(const ShardingRule &rule, const char *name, FactorKind kind) {
  std::vector<int> factors;
  for (int factor = 0; factor < rule.numFactors(); ++factor)
    if (rule.factorKinds[factor] == kind)
      factors.push_back(factor);
  return factors.empty() ? "" : std::string(" ") + name + "={" + joined(factors, factorName) + "}";
}

} // namespace

int ShardingRule::addFactor(int64_t size, FactorKind kind) {
  factorSizes.push_back(size);
  factorKinds.push_back(kind);
  return numFactors() - 1;
}

std::string factorName(int factor) {
  if (factor <= kFactorOfZ)
    return std::string(1, static_cast<char>('i' + factor));
  return "z_" + std::to_string(factor - kFactorOfZ);
}

mlir::FailureOr<ShardingRule> parseShardingRule(mlir::Attribute attr, EmitError emitError) {
  return parse<ShardingRule>(attr, emitError, readRule);
}

std::string print(const ShardingRule &rule) {
  std::vector<std::string> sizes;
  for (int factor = 0; factor < rule.numFactors(); ++factor)
    sizes.push_back(factorName(factor) + "=" + std::to_string(rule.factorSizes[factor]));
  auto identity = [](const std::string &text) { return text; };
  std::string text = "#sdy.op_sharding_rule<(" + joined(rule.operands, printTensorFactors) +
                     ")->(" + joined(rule.results, printTensorFactors) + ")";
  if (!sizes.empty())
    text += " {" + joined(sizes, identity) + "}";
  text += printKind(rule, "reduction", FactorKind::Reduction) +
          printKind(rule, "need_replication", FactorKind::NeedReplication) +
          printKind(rule, "permutation", FactorKind::Permutation);
  if (!rule.blockedFactors.empty())
    text += " blocked_propagation={" + joined(rule.blockedFactors, factorName) + "}";
  return text + (rule.isCustom ? ", custom>" : ">");
}

mlir::FailureOr<MeshText> parseMesh(mlir::Attribute attr, EmitError emitError) {
  return parse<MeshText>(attr, emitError, readMesh);
}

std::string print(const MeshText &mesh) {
  std::string text = "#sdy.mesh<[" +
                     joined(mesh.axes,
                            [](const MeshAxis &axis) {
                              return "\"" + axis.name + "\"=" + std::to_string(axis.size);
                            }) +
                     "]";
  if (!mesh.deviceIds.empty())
    text += ", device_ids=[" +
            joined(mesh.deviceIds, [](int64_t id) { return std::to_string(id); }) + "]";
  return text + ">";
}

mlir::Attribute makeAttr(mlir::MLIRContext *context, const MeshText &mesh) {
  return parsed(context, print(mesh));
}

mlir::FailureOr<TensorShardingText> parseSharding(mlir::Attribute attr, EmitError emitError) {
  return parse<TensorShardingText>(attr, emitError,
                                   [](TextCursor &cursor, TensorShardingText &sharding) {
                                     cursor.expect("#sdy.sharding");
                                     readShardingBody(cursor, sharding);
                                   });
}

std::string print(const TensorShardingText &sharding) {
  return "#sdy.sharding" + printShardingBody(sharding);
}

mlir::Attribute makeAttr(mlir::MLIRContext *context, const TensorShardingText &sharding) {
  return parsed(context, print(sharding));
}

} // namespace alpa
