// Calls replaced by the bodies of their callees, callees first, so that every body is copied
// complete.

#include "Normalize.h"
#include "alpa/IR/Stablehlo.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringSet.h"

namespace alpa {
namespace {

class Inliner {
public:
  explicit Inliner(mlir::ModuleOp module) {
    for (auto function : module.getOps<mlir::func::FuncOp>())
      functions[function.getName()] = function;
  }

  llvm::LogicalResult inlineInto(mlir::func::FuncOp function) {
    if (done.contains(function))
      return mlir::success();
    path.push_back(function);
    llvm::SmallVector<mlir::Operation *> calls;
    function.walk([&](mlir::Operation *op) {
      if (kindOf(op) == OpKind::Call || kindOf(op) == OpKind::Composite)
        calls.push_back(op);
    });
    for (mlir::Operation *call : calls) {
      mlir::func::FuncOp target = targetOf(call);
      if (!target || mlir::failed(inlineInto(target)))
        return mlir::failure();
      replaceByBody(call, target);
    }
    path.pop_back();
    done.insert(function);
    return mlir::success();
  }

private:
  /// The callee, checked; null after an error.
  mlir::func::FuncOp targetOf(mlir::Operation *call) {
    mlir::FlatSymbolRefAttr symbol = callee(call);
    mlir::func::FuncOp target = symbol ? functions.lookup(symbol.getValue()) : nullptr;
    if (!target) {
      auto error = call->emitError("expected a call of a function of this module, got ");
      symbol ? error << symbol : error << "no callee";
    } else if (llvm::is_contained(path, target)) {
      auto error = call->emitError("expected calls without recursion, got ");
      for (auto caller = llvm::find(path, target); caller != path.end(); ++caller)
        error << "@" << caller->getName() << " -> ";
      error << symbol;
    } else if (!target.getBody().hasOneBlock()) {
      call->emitError("expected a callee with a body of one block, got ")
          << symbol << " with " << target.getBody().getBlocks().size();
    } else if (call->getOperandTypes() != target.getArgumentTypes() ||
               call->getResultTypes() != target.getResultTypes()) {
      call->emitError("expected operands and results of type ")
          << target.getFunctionType() << " as " << symbol << " has, got ("
          << call->getOperandTypes() << ") -> (" << call->getResultTypes() << ")";
    } else {
      return target;
    }
    return {};
  }

  static void replaceByBody(mlir::Operation *call, mlir::func::FuncOp target) {
    mlir::IRMapping mapping;
    mapping.map(target.getArguments(), call->getOperands());
    mlir::OpBuilder builder(call);
    mlir::Block &body = target.getBody().front();
    for (mlir::Operation &op : body.without_terminator())
      builder.clone(op, mapping);
    for (auto [result, returned] : llvm::zip(call->getResults(), body.back().getOperands()))
      result.replaceAllUsesWith(mapping.lookup(returned));
    call->erase();
  }

  llvm::StringMap<mlir::func::FuncOp> functions;
  llvm::DenseSet<mlir::func::FuncOp> done;
  llvm::SmallVector<mlir::func::FuncOp> path; ///< from main to the function at work
};

/// Every symbol that an op of `root` names, in properties too.
void collectSymbols(mlir::Operation *root, llvm::StringSet<> &symbols,
                    llvm::SmallVectorImpl<llvm::StringRef> &pending) {
  mlir::AttrTypeWalker walker;
  walker.addWalk([&](mlir::SymbolRefAttr symbol) {
    if (symbols.insert(symbol.getRootReference().getValue()).second)
      pending.push_back(symbol.getRootReference().getValue());
  });
  root->walk([&](mlir::Operation *op) {
    walker.walk(op->getDiscardableAttrDictionary());
    if (mlir::Attribute properties = op->getPropertiesAsAttribute())
      walker.walk(properties);
  });
}

} // namespace

llvm::LogicalResult inlineCalls(mlir::ModuleOp module, mlir::func::FuncOp main) {
  return Inliner(module).inlineInto(main);
}

void removeUnusedFunctions(mlir::ModuleOp module, mlir::func::FuncOp main) {
  llvm::StringMap<mlir::func::FuncOp> functions;
  for (auto function : module.getOps<mlir::func::FuncOp>())
    functions[function.getName()] = function;
  llvm::StringSet<> used;
  llvm::SmallVector<llvm::StringRef> pending;
  collectSymbols(main, used, pending);
  while (!pending.empty())
    if (mlir::func::FuncOp function = functions.lookup(pending.pop_back_val()))
      collectSymbols(function, used, pending);
  for (auto function : llvm::make_early_inc_range(module.getOps<mlir::func::FuncOp>()))
    if (function != main && !used.contains(function.getName()))
      function.erase();
}

} // namespace alpa
