// Every pass: what it needs, what it leaves, before ==> after, options. docs/passes.md is generated from this file.

#ifndef ALPA_PASSES
#define ALPA_PASSES

include "mlir/Pass/PassBase.td"

def NormalizeModule : Pass<"alpa-normalize", "::mlir::ModuleOp"> {
  let summary = "One public function: calls inlined, dead code gone, stable op ids";
}

#endif
