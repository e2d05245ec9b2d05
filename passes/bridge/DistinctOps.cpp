// Sorts of ops by a key of what makes up their rules.

#include "bridge/DistinctOps.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/ShardyText.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace alpa {
namespace {

constexpr llvm::StringLiteral kFunctionName = "distinct_ops";

bool isOurs(mlir::NamedAttribute attribute) {
  return attribute.getName().getValue().starts_with("alpa.");
}

bool wantsRule(mlir::Operation *op) {
  return op->getNumResults() > 0 && !op->hasAttr(kShardingRuleAttr) && !isWhile(op) &&
         !isBranch(op) && !mlir::isa<mlir::func::CallOp>(op);
}

/// What an op does, whatever the values: the addresses of what MLIR has once per context, in turn.
class SortKey {
public:
  explicit SortKey(mlir::Operation *op) { add(*op); }
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

  /// Values within a body are known by their number; those from outside are all one.
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
    numbers.try_emplace(value, numbers.size() + 1);
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
    for (const auto &sort : sortsOf(module))
      add(sort.front());
    mlir::func::ReturnOp::create(builder, module.getLoc());
    function.setFunctionType(builder.getFunctionType(block->getArgumentTypes(), {}));
    declareCalled();
    return std::move(made);
  }

private:
  void add(mlir::Operation *op) {
    mlir::IRMapping arguments;
    auto give = [&](mlir::Value value) {
      if (!arguments.contains(value))
        arguments.map(value, block->addArgument(value.getType(), op->getLoc()));
    };
    for (mlir::Value operand : op->getOperands())
      give(operand);
    op->walk([&](mlir::Operation *inner) {
      for (mlir::Value operand : inner->getOperands())
        if (inner != op && !op->isAncestor(operand.getParentBlock()->getParentOp()))
          give(operand);
    });
    mlir::Operation *copy = builder.clone(*op, arguments);
    for (mlir::NamedAttribute attribute : llvm::to_vector(copy->getDiscardableAttrs()))
      if (isOurs(attribute))
        copy->removeDiscardableAttr(attribute.getName());
    copy->walk([&](mlir::Operation *inner) {
      for (mlir::NamedAttribute attribute : inner->getAttrs())
        attribute.getValue().walk(
            [&](mlir::SymbolRefAttr symbol) { called.insert(symbol.getRootReference()); });
    });
  }

  /// Functions that ops refer to are there, without what they do.
  void declareCalled() {
    builder.setInsertionPointToEnd(made->getBody());
    for (mlir::StringAttr name : called)
      if (auto function = module.lookupSymbol<mlir::func::FuncOp>(name)) {
        auto declared = mlir::func::FuncOp::create(builder, function.getLoc(), name,
                                                   function.getFunctionType());
        declared.setPrivate();
      }
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
  const Sorts sorts = sortsOf(module);
  if (!function || function.isExternal() ||
      function.getBody().front().getOperations().size() != sorts.size() + 1)
    return mlir::failure();
  for (auto [sort, like] : llvm::zip_first(sorts, function.getBody().front()))
    if (sort.front()->getName() != like.getName())
      return mlir::failure();
  for (auto [sort, like] : llvm::zip_first(sorts, function.getBody().front()))
    if (mlir::Attribute rule = like.getAttr(kShardingRuleAttr))
      for (mlir::Operation *op : sort)
        op->setAttr(kShardingRuleAttr, rule);
  return mlir::success();
}

} // namespace alpa
