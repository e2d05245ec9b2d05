// RUN: alpa-opt %s --alpa-split-phases --split-input-file --verify-diagnostics -o /dev/null

func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected 'stablehlo.sine' to have 'alpa.phase' forward, backward or update; run alpa-extract-stage first}}
  %0 = stablehlo.sine %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// expected-error@+1 {{expected the one function of a stage, got 0; run alpa-extract-stage and alpa-normalize first}}
module {
}

// -----

// expected-error@+1 {{expected a text 'alpa.value' on result 0 of @main, got none}}
func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.sine %x {alpa.phase = "forward"} : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%x: tensor<8x4xf32> {alpa.sharding = "{x},{}", alpa.value = "v0"}) -> (tensor<4xf32> {alpa.accumulate = "add", alpa.value = "s0"}) attributes {alpa.num_microbatches = 2 : i64} {
  %zero = stablehlo.constant {alpa.phase = "backward"} dense<0.000000e+00> : tensor<f32>
  // expected-error@+1 {{expected an op with 'alpa.unreduced' to say in 'alpa.results' how its results lie; run alpa-choose-strategies first}}
  %0 = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0] {alpa.phase = "backward", alpa.unreduced = "x"} : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
