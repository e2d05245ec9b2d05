// Sorts of ops by a key of what makes up their rules.

#include "bridge/DistinctOps.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/ShardyText.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

constexpr llvm::StringLiteral kFunctionName = "distinct_ops";
/// On the ops of @distinct_ops that stand for a sort: its number.
constexpr llvm::StringLiteral kSortAttr = "alpa.sort";

bool isOurs(mlir::NamedAttribute attribute) {
  return attribute.getName().getValue().starts_with("alpa.");
}

bool wantsRule(mlir::Operation *op) {
  return op->getNumResults() > 0 && !op->hasAttr(kShardingRuleAttr) && !isWhile(op) &&
         !isBranch(op) && !mlir::isa<mlir::func::CallOp>(op);
}

/// The op that makes an operand, where it can be shown beside its reader.
mlir::Operation *producerOf(mlir::Value operand) {
  mlir::Operation *op = operand.getDefiningOp();
  return op && op->getNumRegions() == 0 && !mlir::isa<mlir::func::CallOp>(op) ? op : nullptr;
}

/// What an op does, whatever the values: the addresses of what MLIR has once per context, in turn.
class SortKey {
public:
  explicit SortKey(mlir::Operation *op) {
    for (mlir::Value operand : op->getOperands()) {
      add(numberOf(operand));
      mlir::Operation *producer = producerOf(operand);
      add(producer ? producer->getName().getAsOpaquePointer() : nullptr);
      if (producer)
        for (mlir::Value read : producer->getOperands())
          add(numberOf(read));
    }
    add(*op);
  }
  llvm::StringRef str() const { return key; }

private:
  void add(mlir::Operation &op) {
    add(op.getName().getAsOpaquePointer());
    add(op.getPropertiesAsAttribute().getAsOpaquePointer());
    for (mlir::NamedAttribute attribute : op.getDiscardableAttrs()) {
      if (isOurs(attribute))
        continue;
      add(attribute.getName().getAsOpaquePointer());
      add(attribute.getValue().getAsOpaquePointer());
    }
    add(op.getNumOperands());
    for (mlir::Type type : op.getOperandTypes())
      add(type.getAsOpaquePointer());
    for (mlir::Type type : op.getResultTypes())
      add(type.getAsOpaquePointer());
    for (mlir::Region &region : op.getRegions())
      add(region);
  }

  /// Values are known by their number; of those from outside, only operands have one.
  void add(mlir::Region &region) {
    add(region.getBlocks().size());
    for (mlir::Block &block : region) {
      add(block.getNumArguments());
      for (mlir::Value argument : block.getArguments())
        number(argument);
      for (mlir::Operation &op : block) {
        for (mlir::Value operand : op.getOperands())
          add(numbers.lookup(operand));
        add(op);
        for (mlir::Value result : op.getResults())
          number(result);
      }
    }
  }

  void number(mlir::Value value) {
    add(value.getType().getAsOpaquePointer());
    add(numberOf(value));
  }
  uintptr_t numberOf(mlir::Value value) {
    return numbers.try_emplace(value, numbers.size() + 1).first->second;
  }
  void add(const void *address) { add(reinterpret_cast<uintptr_t>(address)); }
  void add(uintptr_t number) {
    key.append(reinterpret_cast<const char *>(&number), sizeof(number));
  }

  std::string key;
  llvm::DenseMap<mlir::Value, uintptr_t> numbers;
};

/// The ops of each sort, in the order in which the sorts appear.
using Sorts = llvm::SmallVector<llvm::SmallVector<mlir::Operation *, 1>>;

Sorts sortsOf(mlir::ModuleOp module) {
  Sorts sorts;
  llvm::StringMap<size_t> numbers;
  for (auto function : module.getOps<mlir::func::FuncOp>())
    function.getBody().walk([&](mlir::Operation *op) {
      if (!wantsRule(op))
        return;
      const size_t number = numbers.try_emplace(SortKey(op).str(), sorts.size()).first->second;
      if (number == sorts.size())
        sorts.emplace_back();
      sorts[number].push_back(op);
    });
  return sorts;
}

class DistinctOpsBuilder {
public:
  explicit DistinctOpsBuilder(mlir::ModuleOp module)
      : module(module), builder(module.getContext()) {}

  mlir::OwningOpRef<mlir::ModuleOp> run() {
    made = mlir::ModuleOp::create(builder, module.getLoc());
    builder.setInsertionPointToEnd(made->getBody());
    for (mlir::Operation &op : *module.getBody())
      if (!mlir::isa<mlir::func::FuncOp>(op)) // a mesh that shardings name
        builder.clone(op);
    auto function = mlir::func::FuncOp::create(builder, module.getLoc(), kFunctionName,
                                               builder.getFunctionType({}, {}));
    block = function.addEntryBlock();
    builder.setInsertionPointToStart(block);
    for (const auto &[number, sort] : llvm::enumerate(sortsOf(module)))
      add(sort.front())->setAttr(kSortAttr, builder.getI64IntegerAttr(number));
    mlir::func::ReturnOp::create(builder, module.getLoc());
    function.setFunctionType(builder.getFunctionType(block->getArgumentTypes(), {}));
    addCalled();
    return std::move(made);
  }

private:
  mlir::Operation *add(mlir::Operation *op) {
    mlir::IRMapping made;
    for (mlir::Value operand : op->getOperands())
      if (mlir::Operation *producer = producerOf(operand))
        if (!made.contains(operand)) {
          giveRead(producer, made);
          copy(producer, made);
        }
    giveRead(op, made);
    return copy(op, made);
  }

  /// Arguments for what the op and its bodies read from outside, as far as nothing made is there.
  void giveRead(mlir::Operation *op, mlir::IRMapping &made) {
    op->walk([&](mlir::Operation *inner) {
      for (mlir::Value operand : inner->getOperands())
        if (!made.contains(operand) &&
            (inner == op || !op->isAncestor(operand.getParentBlock()->getParentOp())))
          made.map(operand, block->addArgument(operand.getType(), op->getLoc()));
    });
  }

  mlir::Operation *copy(mlir::Operation *op, mlir::IRMapping &made) {
    mlir::Operation *copied = builder.clone(*op, made);
    for (mlir::NamedAttribute attribute : llvm::to_vector(copied->getDiscardableAttrs()))
      if (isOurs(attribute))
        copied->removeDiscardableAttr(attribute.getName());
    findCalled(copied);
    return copied;
  }

  void findCalled(mlir::Operation *op) {
    op->walk([&](mlir::Operation *inner) {
      for (mlir::Attribute attributes : {mlir::Attribute(inner->getDiscardableAttrDictionary()),
                                         inner->getPropertiesAsAttribute()})
        if (attributes)
          attributes.walk(
              [&](mlir::SymbolRefAttr symbol) { called.insert(symbol.getRootReference()); });
    });
  }

  /// What ops refer to must be there.
  void addCalled() {
    builder.setInsertionPointToEnd(made->getBody());
    for (size_t i = 0; i < called.size(); ++i) // which may find more
      if (auto function = module.lookupSymbol<mlir::func::FuncOp>(called[i]))
        findCalled(builder.clone(*function));
  }

  mlir::ModuleOp module;
  mlir::OpBuilder builder;
  mlir::OwningOpRef<mlir::ModuleOp> made;
  mlir::Block *block = nullptr;
  llvm::SetVector<mlir::StringAttr> called;
};

} // namespace

mlir::OwningOpRef<mlir::ModuleOp> distinctOps(mlir::ModuleOp module) {
  return DistinctOpsBuilder(module).run();
}

llvm::LogicalResult takeRules(mlir::ModuleOp module, mlir::ModuleOp distinct) {
  auto function = distinct.lookupSymbol<mlir::func::FuncOp>(kFunctionName);
  if (!function || function.isExternal())
    return mlir::failure();
  llvm::SmallVector<mlir::Operation *> likes;
  for (mlir::Operation &op : function.getBody().front())
    if (op.hasAttr(kSortAttr))
      likes.push_back(&op);
  const Sorts sorts = sortsOf(module);
  if (likes.size() != sorts.size())
    return mlir::failure();
  for (auto [number, sort] : llvm::enumerate(sorts))
    if (integerOf(likes[number]->getAttr(kSortAttr)) != static_cast<int64_t>(number) ||
        sort.front()->getName() != likes[number]->getName())
      return mlir::failure();
  for (auto [sort, like] : llvm::zip_equal(sorts, likes))
    if (mlir::Attribute rule = like->getAttr(kShardingRuleAttr))
      for (mlir::Operation *op : sort)
        op->setAttr(kShardingRuleAttr, rule);
  return mlir::success();
}

} // namespace alpa
