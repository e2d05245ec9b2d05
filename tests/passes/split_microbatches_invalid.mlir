// RUN: alpa-opt %s --sdy-populate-op-sharding-rules --alpa-split-microbatches=num-microbatches=4 --split-input-file --verify-diagnostics -o /dev/null

// expected-error@+1 {{expected a number of microbatches that divides the 6 examples of the batch, one of 1, 2, 3, 6; got 4}}
func.func public @main(%x: tensor<6xf32> {alpa.batch}) -> tensor<6xf32> {
  return %x : tensor<6xf32>
}

// -----

// expected-error@+1 {{expected a batch argument (alpa.batch), got none}}
func.func public @main(%x: tensor<8xf32>) -> tensor<8xf32> {
  return %x : tensor<8xf32>
}

// -----

func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<8xf32>, %v: tensor<2xf32>) -> tensor<8x2xf32> {
  %0 = stablehlo.multiply %x, %w : tensor<8xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  // expected-error@+1 {{expected examples apart until they are summed, got 'stablehlo.reduce', in which they meet: its sum over examples is used for each of them; with microbatches the result would be another (allow-local-statistics=true: each microbatch uses its own)}}
  %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  %2 = stablehlo.broadcast_in_dim %1, dims = [] : (tensor<f32>) -> tensor<8xf32>
  %3 = stablehlo.subtract %0, %2 : tensor<8xf32>
  %4 = stablehlo.dot_general %3, %v, contracting_dims = [] x [] : (tensor<8xf32>, tensor<2xf32>) -> tensor<8x2xf32>
  return %4 : tensor<8x2xf32>
}

// -----

func.func public @main(%x: tensor<8xf32> {alpa.batch}) -> tensor<f32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %start = stablehlo.constant dense<0.0> : tensor<f32>
  // expected-error@+1 {{expected sums over examples that add up over microbatches, got one of 'stablehlo.while', which does more with them than add, scale and move them; move that behind it, or take one microbatch}}
  %0:3 = stablehlo.while(%i = %zero, %sum = %start, %y = %x) : tensor<i32>, tensor<f32>, tensor<8xf32>
  cond {
    %limit = stablehlo.constant dense<3> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %limit : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %none = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = stablehlo.reduce(%y init: %none) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %squared = stablehlo.multiply %1, %1 : tensor<f32>
    %2 = stablehlo.add %sum, %squared : tensor<f32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %3 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %3, %2, %y : tensor<i32>, tensor<f32>, tensor<8xf32>
  }
  return %0#1 : tensor<f32>
}

// -----

func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<8xf32>) -> tensor<8xf32> {
  %0 = stablehlo.multiply %x, %w : tensor<8xf32>
  // expected-note@+1 {{decided here}}
  %1 = stablehlo.while(%z = %0) : tensor<8xf32>
  cond {
    %lowest = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %one = stablehlo.constant dense<1.0> : tensor<f32>
    // expected-error@+1 {{expected examples apart until they are summed, got 'stablehlo.reduce', in which they meet: it decides for all examples how often 'stablehlo.while' runs; with microbatches the result would be another; decide from the batch alone, or example by example (jnp.where, jax.vmap), or take one microbatch}}
    %2 = stablehlo.reduce(%z init: %lowest) applies stablehlo.maximum across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %3 = stablehlo.compare GT, %2, %one : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %3 : tensor<i1>
  } do {
    %2 = stablehlo.tanh %z : tensor<8xf32>
    stablehlo.return %2 : tensor<8xf32>
  }
  return %1 : tensor<8xf32>
}

// -----

func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<8xf32>) -> tensor<8xf32> {
  %0 = stablehlo.multiply %x, %w : tensor<8xf32>
  %lowest = stablehlo.constant dense<0xFF800000> : tensor<f32>
  // expected-error@+1 {{it decides for all examples which branch of 'stablehlo.if' is taken}}
  %1 = stablehlo.reduce(%0 init: %lowest) applies stablehlo.maximum across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  %one = stablehlo.constant dense<1.0> : tensor<f32>
  %2 = stablehlo.compare GT, %1, %one : (tensor<f32>, tensor<f32>) -> tensor<i1>
  // expected-note@+1 {{decided here}}
  %3 = "stablehlo.if"(%2) ({
    %4 = stablehlo.sine %0 : tensor<8xf32>
    stablehlo.return %4 : tensor<8xf32>
  }, {
    stablehlo.return %0 : tensor<8xf32>
  }) : (tensor<i1>) -> tensor<8xf32>
  return %3 : tensor<8xf32>
}

// -----

// Examples meet where one sum over them weighs them in another.

func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<8xf32>) -> tensor<f32> {
  %0 = stablehlo.multiply %x, %w : tensor<8xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  // expected-error@+1 {{got 'stablehlo.reduce', in which they meet: its sum over examples is used for each of them}}
  %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  %2 = stablehlo.broadcast_in_dim %1, dims = [] : (tensor<f32>) -> tensor<8xf32>
  %3 = stablehlo.dot_general %0, %2, contracting_dims = [0] x [0] : (tensor<8xf32>, tensor<8xf32>) -> tensor<f32>
  return %3 : tensor<f32>
}
