// What was expected and did not come, and what came unexpected, both fail.
// RUN: not alpa-opt %s --split-input-file --verify-diagnostics 2>&1 | FileCheck %s

// CHECK-DAG: :[[# @LINE + 1]]:4: error: expected error "never said" was not produced
// expected-error@+1 {{never said}}
func.func @good() {
  return
}

// -----

func.func @bad(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-DAG: :[[# @LINE + 1]]:22: error: unexpected error: use of undeclared SSA value name
  %0 = stablehlo.add %missing, %arg0 : tensor<4xf32>
  return %0 : tensor<4xf32>
}
