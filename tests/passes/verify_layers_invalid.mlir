// RUN: alpa-opt %s --alpa-verify-layers --split-input-file --verify-diagnostics -o /dev/null

func.func private @microbatch(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  // expected-note@+1 {{made here, by 'stablehlo.tanh'}}
  %0 = stablehlo.tanh %x {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<4xf32>
  // expected-error@+1 {{expected data to flow through forward 0, 1, ..., backward ..., 1, 0, got 'stablehlo.sine' of forward 0 reading from forward 1}}
  %1 = stablehlo.sine %0 {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
  // expected-note@+1 {{made here, by 'stablehlo.tanh'}}
  %2 = stablehlo.tanh %x {alpa.layer = 0 : i64, alpa.phase = "backward"} : tensor<4xf32>
  // expected-error@+1 {{got 'stablehlo.sine' of backward 1 reading from backward 0}}
  %3 = stablehlo.sine %2 {alpa.layer = 1 : i64, alpa.phase = "backward"} : tensor<4xf32>
  // expected-note@+1 {{made here, by 'stablehlo.tanh'}}
  %4 = stablehlo.tanh %x {alpa.layer = 2 : i64, alpa.phase = "backward"} : tensor<4xf32>
  // expected-error@+1 {{got 'stablehlo.cosine' of forward 2 reading from backward 2}}
  %5 = stablehlo.cosine %4 {alpa.layer = 2 : i64, alpa.phase = "forward"} : tensor<4xf32>
  return %1, %3, %5 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}
func.func private @update() {
  return
}

// -----

func.func private @microbatch(%x: tensor<4xf32>) {
  // expected-error@+1 {{expected a layer (alpa.layer) on 'stablehlo.custom_call', which has an effect and cannot be cloned}}
  stablehlo.custom_call @print(%x) {has_side_effect = true} : (tensor<4xf32>) -> ()
  return
}
func.func private @update() {
  return
}

// -----

func.func private @microbatch() {
  return
}
func.func private @update(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected 'alpa.layer' to be an integer from 0 to 2^31 - 1, got -1 : i64}}
  %0 = stablehlo.tanh %x {alpa.layer = -1 : i64} : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// expected-error@+1 {{expected functions @microbatch and @update; run alpa-split-microbatches first}}
module {
}
