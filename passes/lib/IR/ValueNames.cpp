// See the header.

#include "alpa/IR/ValueNames.h"
#include "llvm/ADT/StringRef.h"

namespace alpa {
namespace {

const char *prefixOf(ValueKind kind) {
  switch (kind) {
  case ValueKind::Argument:
    return "a";
  case ValueKind::Result:
    return "r";
  case ValueKind::Prologue:
    return "p";
  case ValueKind::Sum:
    return "s";
  case ValueKind::Microbatch:
    return "index";
  case ValueKind::BetweenStages:
    return "v";
  case ValueKind::BetweenUpdates:
    return "u";
  }
  return "";
}

} // namespace

std::string valueName(ValueKind kind, int64_t number) {
  const std::string prefix = prefixOf(kind);
  return kind == ValueKind::Microbatch ? prefix : prefix + std::to_string(number);
}

std::string valueNameWithinStage(int64_t stage, int64_t number) {
  return "stage" + std::to_string(stage) + "." + valueName(ValueKind::BetweenStages, number);
}

std::optional<int64_t> valueNumber(std::string_view name, ValueKind kind) {
  llvm::StringRef rest(name);
  int64_t number = 0;
  if (!rest.consume_front(prefixOf(kind)))
    return std::nullopt;
  if (kind == ValueKind::Microbatch ? !rest.empty() : rest.getAsInteger(10, number))
    return std::nullopt;
  return number;
}

} // namespace alpa
