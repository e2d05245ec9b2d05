// alpa-normalize: the first pass of every pipeline. What comes after it sees one function without
// calls.

#include "Normalize.h"
#include "alpa/IR/Attributes.h"
#include "alpa/IR/CheckModule.h"
#include "alpa/Passes.h"

namespace alpa {
#define GEN_PASS_DEF_NORMALIZEMODULE
#include "alpa/Passes.h.inc"
namespace {

/// The public function, or null after an error that names what is there instead.
mlir::func::FuncOp publicFunction(mlir::ModuleOp module) {
  llvm::SmallVector<mlir::func::FuncOp> functions;
  for (auto function : module.getOps<mlir::func::FuncOp>())
    if (function.isPublic())
      functions.push_back(function);
  if (functions.size() != 1) {
    auto error = module.emitError("expected one public function, got ");
    llvm::interleaveComma(functions, error,
                          [&](mlir::func::FuncOp function) { error << "@" << function.getName(); });
    if (functions.empty())
      error << "none";
    return {};
  }
  return functions.front();
}

struct NormalizeModule : impl::NormalizeModuleBase<NormalizeModule> {
  void runOnOperation() override {
    mlir::ModuleOp module = getOperation();
    if (mlir::failed(checkModule(module)))
      return signalPassFailure();
    mlir::func::FuncOp main = publicFunction(module);
    if (!main || mlir::failed(inlineCalls(module, main)))
      return signalPassFailure();
    removeUnusedFunctions(module, main);
    // Ids of an earlier run would keep equal ops apart.
    main.walk([](mlir::Operation *op) { op->removeDiscardableAttr(kOpIdAttr); });

    mlir::Region &body = main.getBody();
    eraseDead(body);
    removeIdleConversions(body);
    removeDetours(body);
    eraseDead(body);
    batchGathers(body);
    clampStarts(body);
    // Constants are merged with everything else, so that equal broadcasts become equal, and only
    // then given to their users.
    mergeDuplicates(body);
    placeConstants(body);
    eraseDead(body);
    numberOps(body);
  }
};

} // namespace
} // namespace alpa
