// See the header.

#include "UpdateRounds.h"
#include "alpa/IR/ValuesRead.h"
#include "mlir/IR/Operation.h"
#include <map>

namespace alpa {
namespace {

/// For each stage, the last round in which it makes something that is read.
using Origins = std::map<int, int>;

void merge(Origins &into, const Origins &from) {
  for (auto [stage, round] : from) {
    auto [entry, isNew] = into.try_emplace(stage, round);
    entry->second = std::max(entry->second, round);
  }
}

} // namespace

UpdateRounds::UpdateRounds(mlir::Block &update,
                           llvm::function_ref<std::optional<int>(mlir::Operation *)> stageOf) {
  llvm::DenseMap<mlir::Operation *, Origins> origins;
  std::map<std::pair<int, int>, llvm::SmallVector<mlir::Operation *>> opsOf; // by round and stage
  for (mlir::Operation &op : update.without_terminator()) {
    Origins read;
    for (mlir::Value value : valuesRead(&op))
      if (mlir::Operation *source = value.getDefiningOp())
        merge(read, origins[source]);
    if (std::optional<int> stage = stageOf(&op)) {
      int round = 0;
      for (auto [from, made] : read)
        round = std::max(round, from == *stage ? made : made + 1);
      opsOf[{round, *stage}].push_back(&op);
      read = {{*stage, round}};
    }
    origins[&op] = read;
  }
  for (auto &[key, ops] : opsOf) {
    for (mlir::Operation *op : ops)
      numbers[op] = static_cast<int>(allTurns.size());
    allTurns.push_back({key.first, key.second});
  }
  if (allTurns.empty())
    allTurns.push_back({0, 0});
}

std::optional<int> UpdateRounds::turnOf(mlir::Operation *op) const {
  auto found = numbers.find(op);
  return found == numbers.end() ? std::nullopt : std::optional<int>(found->second);
}

} // namespace alpa
