// What every pass checks where no verifier of StableHLO has been: what it indexes into.
// REQUIRES: plugin
// RUN: %mlir-opt-with-plugin %s --pass-pipeline='builtin.module(alpa-analyze-training)' --split-input-file --verify-diagnostics

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected 'stablehlo.dot_general' to have 2 operands, 1 results and 0 regions, got 1 operands, 1 results and 0 regions}}
  %0 = "stablehlo.dot_general"(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected 'stablehlo.reshape' to work on tensors, got '!stablehlo.token'}}
  %0 = "stablehlo.reshape"(%arg0) : (tensor<4xf32>) -> !stablehlo.token
  return %arg0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected 'stablehlo.while' to carry as many values into and out of its condition and body as it has results}}
  %0 = "stablehlo.while"(%arg0) ({}, {}) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected values returned by a branch of 'stablehlo.case' to have types 'tensor<4xf32>' as its results, got 'tensor<i32>'}}
  %0 = "stablehlo.case"(%arg0) ({
    %1 = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
    "stablehlo.return"(%1) : (tensor<i32>) -> ()
  }) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32>) -> tensor<2x4xf32> {
  // expected-error@+1 {{expected 'stablehlo.broadcast_in_dim' to have shapes that fit one another and its attributes, got ('tensor<4xf32>') -> ('tensor<2x4xf32>')}}
  %0 = "stablehlo.broadcast_in_dim"(%arg0) <{broadcast_dimensions = array<i64: 7>}> : (tensor<4xf32>) -> tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "stablehlo.case"(%arg0) ({
    // expected-error@+1 {{expected 'stablehlo.sine' to read values that are made before it, got one of type 'tensor<4xf32>' that is not}}
    %1 = "stablehlo.sine"(%2) : (tensor<4xf32>) -> tensor<4xf32>
    %2 = "stablehlo.cosine"(%1) : (tensor<4xf32>) -> tensor<4xf32>
    "stablehlo.return"(%2) : (tensor<4xf32>) -> ()
  }) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected tensors of at most 2^50 bytes, got 'tensor<4000000000x4000000000xf32>'}}
  %0 = "test.large"(%arg0) : (tensor<4xf32>) -> tensor<4000000000x4000000000xf32>
  return %arg0 : tensor<4xf32>
}

// -----

// expected-error@+1 {{argument 0: expected 'alpa.state' to be an integer from 0 to 2^31 - 1, got "x"}}
func.func public @main(%arg0: tensor<4xf32> {alpa.state = "x"}) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}

// -----

// expected-error@+1 {{expected a body of one block that ends in func.return, got 2 blocks in @main}}
func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  "test.branch"()[^bb1] : () -> ()
^bb1:
  return %arg0 : tensor<4xf32>
}
