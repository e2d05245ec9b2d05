// Which ops of the backward compute forward values again: numbers every value by what computes it
// and looks through optimization barriers, so a value and its recomputation have equal numbers.

#include "Layers.h"
#include "alpa/IR/ShardyText.h"
#include "alpa/IR/Stablehlo.h"

namespace alpa {
namespace {

class ValueNumbering {
public:
  explicit ValueNumbering(MicrobatchLayers &microbatch)
      : microbatch(microbatch), ops(microbatch.ops), barriers(ops.size(), -1),
        checkpoints(ops.size()) {}

  void run() {
    for (int index = 0; index < ops.size(); ++index) {
      mlir::Operation *op = ops[index].op;
      if (kindOf(op) == OpKind::OptimizationBarrier) {
        for (auto [operand, result] : llvm::zip(op->getOperands(), op->getResults()))
          numbers[result] = numberOf(operand);
        barriers[index] = index;
        continue;
      }
      visit(index);
    }
    for (int barrier = 0; barrier < ops.size(); ++barrier)
      if (!checkpoints[barrier].empty())
        microbatch.checkpoints.push_back(wholeRegion(barrier));
  }

private:
  /// What an op computes, as words: its name, attributes, types, the numbers of what it reads, and
  /// the same of the ops inside it.
  using Key = std::vector<uintptr_t>;

  void visit(int index) {
    const OuterOp &node = ops[index];
    Key key;
    nextInside = ~uintptr_t(0);
    append(key, node.op);
    auto [entry, isNew] = firstOf.try_emplace(std::move(key), index);
    int first = entry->second;
    for (auto [i, result] : llvm::enumerate(node.op->getResults()))
      numbers[result] = isNew ? next++ : numbers[ops[first].op->getResult(i)];
    if (isNew || !microbatch.isBackward[index] || !microbatch.isForward(first))
      return;
    for (int producer : node.producers)
      barriers[index] = std::max(barriers[index], barriers[producer]);
    if (barriers[index] < 0)
      return;
    microbatch.recomputes[index] = first;
    checkpoints[barriers[index]].push_back(first);
  }

  /// With the ops at the region's end whose values the backward never needs, so that they are not
  /// computed again: they read the region and what goes into it, and the backward reads nothing of
  /// that.
  std::vector<int> wholeRegion(int barrier) const {
    llvm::ArrayRef<int> saved = ops[barrier].producers;
    std::vector<int> region = checkpoints[barrier];
    std::vector<bool> isInRegion(ops.size());
    for (int index : region)
      isInRegion[index] = true;
    auto isInside = [&](int index) {
      return isInRegion[index] && llvm::none_of(ops[index].readers, [&](int reader) {
               return microbatch.isBackward[reader];
             });
    };
    for (int index = region.front(); index < barrier; ++index) {
      if (isInRegion[index] || !microbatch.isForward(index))
        continue;
      llvm::ArrayRef<int> producers = ops[index].producers;
      if (llvm::none_of(producers, isInside) || !llvm::all_of(producers, [&](int producer) {
            return microbatch.isCloneable[producer] || isInside(producer) ||
                   llvm::is_contained(saved, producer);
          }))
        continue;
      isInRegion[index] = true;
      region.push_back(index);
    }
    return region;
  }

  uintptr_t numberOf(mlir::Value value) {
    auto [entry, isNew] = numbers.try_emplace(value, next);
    next += isNew;
    return entry->second;
  }

  void append(Key &key, mlir::Operation *op) {
    key.push_back(reinterpret_cast<uintptr_t>(op->getName().getAsOpaquePointer()));
    if (mlir::Attribute properties = op->getPropertiesAsAttribute())
      key.push_back(reinterpret_cast<uintptr_t>(properties.getAsOpaquePointer()));
    for (mlir::NamedAttribute attribute : op->getDiscardableAttrs())
      if (!attribute.getName().strref().starts_with("alpa.") &&
          attribute.getName() != kShardingRuleAttr) {
        key.push_back(reinterpret_cast<uintptr_t>(attribute.getName().getAsOpaquePointer()));
        key.push_back(reinterpret_cast<uintptr_t>(attribute.getValue().getAsOpaquePointer()));
      }
    for (mlir::Type type : op->getResultTypes())
      key.push_back(reinterpret_cast<uintptr_t>(type.getAsOpaquePointer()));
    for (mlir::Value operand : op->getOperands())
      key.push_back(numberOf(operand));
    for (mlir::Region &region : op->getRegions())
      for (mlir::Block &block : region)
        appendBlock(key, block);
  }

  /// Inside an op, values are numbered by their place in it, from the other end of the range.
  void appendBlock(Key &key, mlir::Block &block) {
    for (mlir::BlockArgument argument : block.getArguments()) {
      key.push_back(reinterpret_cast<uintptr_t>(argument.getType().getAsOpaquePointer()));
      numbers[argument] = nextInside--;
    }
    for (mlir::Operation &op : block) {
      append(key, &op);
      for (mlir::Value result : op.getResults())
        numbers[result] = nextInside--;
    }
  }

  MicrobatchLayers &microbatch;
  const OuterOps &ops;
  llvm::DenseMap<mlir::Value, uintptr_t> numbers;
  uintptr_t next = 0, nextInside = 0;
  std::map<Key, int> firstOf;
  std::vector<int> barriers;                 ///< the last barrier that a recomputation comes from
  std::vector<std::vector<int>> checkpoints; ///< by barrier
};

} // namespace

void findRecomputations(MicrobatchLayers &microbatch) { ValueNumbering(microbatch).run(); }

} // namespace alpa
