// Passes as flags, as a pipeline, with dumps between them and with one of Shardy's passes among ours.
// RUN: alpa-opt %s --alpa-normalize --mlir-print-ir-after-all -o /dev/null 2>&1 | FileCheck %s --check-prefix=AFTER
// RUN: alpa-opt %s --alpa-normalize --mlir-print-ir-before=alpa-normalize -o /dev/null 2>&1 | FileCheck %s --check-prefix=BEFORE
// RUN: alpa-opt %s --dump-pass-pipeline --pass-pipeline='builtin.module(alpa-normalize)' -o /dev/null 2>&1 | FileCheck %s --check-prefix=PIPELINE
// RUN: alpa-opt %s --pass-pipeline='builtin.module(alpa-normalize,sdy-populate-op-sharding-rules,symbol-dce)' | FileCheck %s --check-prefix=RULES
// RUN: alpa-opt %s --alpa-normalize --mlir-timing -o /dev/null 2>&1 | FileCheck %s --check-prefix=TIMING
// RUN: alpa-opt --help | FileCheck %s --check-prefix=HELP
// RUN: alpa-opt --version | FileCheck %s --check-prefix=VERSION

// AFTER: IR Dump After NormalizeModule (alpa-normalize)
// AFTER: "stablehlo.add"
// BEFORE: IR Dump Before NormalizeModule (alpa-normalize)
// PIPELINE: builtin.module(
// PIPELINE-NEXT: alpa-normalize
// RULES: sdy.sharding_rule = #sdy.op_sharding_rule<([i], [i])->([i]) {i=4}>
// TIMING: Execution time report
// TIMING-DAG: Read
// TIMING-DAG: NormalizeModule
// TIMING-DAG: Write
// HELP-NOT: --load-pass-plugin
// HELP: --alpa-normalize
// VERSION: alpa-opt {{[0-9.]+}}, MLIR 22.1.{{[0-9]+}}, JAX 0.{{[0-9.]+}}

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.add %arg0, %arg0 : tensor<4xf32>
  return %0 : tensor<4xf32>
}
