// Expectations are comments in pretty StableHLO; jaxlib's errors meet them at the lines of this file.
// RUN: alpa-opt %s --split-input-file --verify-diagnostics
// RUN: not alpa-opt %s --split-input-file 2>&1 | FileCheck %s

// CHECK: verify_diagnostics.mlir:[[# @LINE + 3]]:22: error: use of undeclared SSA value name
func.func @undeclared(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{use of undeclared SSA value name}}
  %0 = stablehlo.add %missing, %arg0 : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @twice(%arg0: tensor<4xf32>) -> tensor<5xf32> {
  // expected-note@+1 {{prior use here}}
  %0 = stablehlo.add %arg0, %arg0 : tensor<4xf32>
  // expected-error@+1 {{expects different type than prior uses}}
  return %0 : tensor<5xf32>
}

// -----

// Nothing is expected of a good part.
func.func @good() {
  return
}
