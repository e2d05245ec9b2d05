// What StableHLO has no form for or its own verifier refuses, where there is one.
// REQUIRES: plugin
// RUN: %mlir-opt-with-plugin %s --pass-pipeline='builtin.module(alpa-normalize)' --split-input-file --verify-diagnostics

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected a call of a function of this module, got @absent}}
  %0 = "stablehlo.composite"(%arg0) <{decomposition = @absent, name = "test.f"}> : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected a call of a function of this module, got no callee}}
  %0 = "stablehlo.composite"(%arg0) <{name = "test.f"}> : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected operands and results of type '(tensor<2xf32>) -> tensor<f32>' as @f has, got ('tensor<f32>') -> ('tensor<f32>')}}
  %0 = "stablehlo.composite"(%arg0) <{decomposition = @f, name = "test.f"}> : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}
func.func private @f(%arg0: tensor<2xf32>) -> tensor<f32> {
  %0 = "stablehlo.reduce_to_scalar"(%arg0) : (tensor<2xf32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected 'stablehlo.reshape' to have 1 operands, 1 results and 0 regions, got 0 operands, 1 results and 0 regions}}
  %0 = "stablehlo.reshape"() : () -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

// expected-error@+1 {{expected a body of one block that ends in func.return, got 2 blocks in @main}}
func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  "test.branch"()[^bb1] : () -> ()
^bb1:
  return %arg0 : tensor<f32>
}
