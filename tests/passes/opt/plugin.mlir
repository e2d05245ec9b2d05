// The plugin gives mlir-opt the same passes; it reads generic form.
// REQUIRES: plugin
// RUN: alpa-opt %s --mlir-print-op-generic | %mlir-opt-with-plugin --pass-pipeline='builtin.module(alpa-normalize)' --mlir-print-op-generic -o %t.plugin
// RUN: alpa-opt %t.plugin -o %t.from-plugin
// RUN: alpa-opt %s --alpa-normalize -o %t.native
// RUN: diff %t.from-plugin %t.native
// RUN: FileCheck %s < %t.native

// CHECK: stablehlo.add %arg0, %arg0
func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.add %arg0, %arg0 : tensor<4xf32>
  return %0 : tensor<4xf32>
}
