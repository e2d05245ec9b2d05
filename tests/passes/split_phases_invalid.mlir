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
