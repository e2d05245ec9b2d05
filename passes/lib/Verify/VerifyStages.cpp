// alpa-verify-stages: the functions of stages are whole, and data flows one way through them. Reads
// names and calls only; shares nothing with alpa-split-stages.

#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/IR/Stablehlo.h"
#include "alpa/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringSet.h"

namespace alpa {
#define GEN_PASS_DEF_VERIFYSTAGES
#include "alpa/Passes.h.inc"
namespace {

class Verifier {
public:
  explicit Verifier(mlir::ModuleOp module) : module(module), symbols(module) {}

  llvm::LogicalResult run() {
    for (auto function : module.getOps<mlir::func::FuncOp>())
      if (isOfStage(function) && (!verifyOps(function) || !verifyMade(function)))
        return mlir::failure();
    for (llvm::StringRef caller : {"microbatch", "update"})
      if (!verifyCaller(caller))
        return mlir::failure();
    return mlir::success();
  }

private:
  static bool isOfStage(mlir::func::FuncOp function) {
    return function->hasAttr(kStageAttr) || function.getName().starts_with("stage");
  }

  static llvm::StringRef nameOf(mlir::Attribute attribute) {
    auto name = llvm::dyn_cast_or_null<mlir::StringAttr>(attribute);
    return name ? name.getValue() : llvm::StringRef();
  }

  /// Stage and phase are known, and no op is of another phase.
  bool verifyOps(mlir::func::FuncOp function) {
    mlir::Attribute phase = function->getAttr(kPhaseAttr);
    if (!function->hasAttr(kStageAttr) || !phase) {
      function.emitError("expected '")
          << kStageAttr << "' and '" << kPhaseAttr << "' on @" << function.getName();
      return false;
    }
    auto mixed = function.getBody().walk([&](mlir::Operation *op) {
      mlir::Attribute own = op->getDiscardableAttr(kPhaseAttr);
      if (!own || own == phase)
        return mlir::WalkResult::advance();
      op->emitError("expected ops of phase ") << phase << " in @" << function.getName() << ", got '"
                                              << op->getName() << "' of phase " << own;
      return mlir::WalkResult::interrupt();
    });
    return !mixed.wasInterrupted();
  }

  /// Every argument and result has a name, and nobody else makes the result.
  bool verifyMade(mlir::func::FuncOp function) {
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      if (nameOf(function.getArgAttr(i, kValueAttr)).empty()) {
        function.emitError("expected '") << kValueAttr << "' on argument " << i;
        return false;
      }
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      llvm::StringRef name = nameOf(function.getResultAttr(i, kValueAttr));
      if (!name.empty() && made.insert(name).second)
        continue;
      function.emitError("expected a name of its own ('")
          << kValueAttr << "') for result " << i << ", got '" << name << "'";
      return false;
    }
    return true;
  }

  /// Calls only, in an order in which every value is there when it is read.
  bool verifyCaller(llvm::StringRef name) {
    auto caller = symbols.lookup<mlir::func::FuncOp>(name);
    if (!caller || caller.isExternal()) {
      module.emitError("expected a function @") << name << "; run alpa-split-stages first";
      return false;
    }
    llvm::DenseMap<mlir::Value, llvm::StringRef> names;
    for (mlir::BlockArgument argument : caller.getArguments())
      names[argument] = nameOf(caller.getArgAttr(argument.getArgNumber(), kValueAttr));
    for (mlir::Operation &op : caller.getBody().front().without_terminator()) {
      auto call = llvm::dyn_cast<mlir::func::CallOp>(op);
      if (!call && isElementwise(&op) && op.getNumOperands() == 2)
        continue; // adds a part to its sum
      auto callee =
          call ? symbols.lookup<mlir::func::FuncOp>(call.getCallee()) : mlir::func::FuncOp();
      if (!callee || !isOfStage(callee)) {
        op.emitError("expected @")
            << name << " to call functions of stages, got '" << op.getName() << "'";
        return false;
      }
      for (auto [i, operand] : llvm::enumerate(call.getOperands())) {
        llvm::StringRef wanted = nameOf(callee.getArgAttr(i, kValueAttr));
        if (names.lookup(operand) == wanted)
          continue;
        call.emitError("expected '")
            << wanted << "' as argument " << i << " of @" << callee.getName() << ", got '"
            << names.lookup(operand) << "'";
        return false;
      }
      for (auto [i, result] : llvm::enumerate(call.getResults()))
        names[result] = nameOf(callee.getResultAttr(i, kValueAttr));
    }
    return true;
  }

  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  llvm::StringSet<> made;
};

struct VerifyStages : impl::VerifyStagesBase<VerifyStages> {
  void runOnOperation() override {
    if (mlir::failed(checkModule(getOperation())) || mlir::failed(Verifier(getOperation()).run()))
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace
} // namespace alpa
