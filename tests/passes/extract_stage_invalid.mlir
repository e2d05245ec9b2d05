// RUN: alpa-opt %s --alpa-extract-stage=stage=2 --split-input-file --verify-diagnostics -o /dev/null

// expected-error@+1 {{expected functions of stage 2, got none; run alpa-split-stages first}}
module {
  func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
    return
  }
}

// -----

// expected-error@+1 {{expected a text 'alpa.value' on argument 0 of @stage2_forward, got none}}
func.func private @stage2_forward(%x: tensor<4xf32>) attributes {alpa.phase = "forward", alpa.stage = 2 : i64} {
  return
}

// -----

// expected-error@+1 {{expected a text 'alpa.value' on result 0 of @stage2_forward, got 1 : i64}}
func.func private @stage2_forward(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = 1 : i64}) attributes {alpa.phase = "forward", alpa.stage = 2 : i64} {
  return %x : tensor<4xf32>
}

// -----

// expected-error@+1 {{expected a body of @stage2_forward, got none}}
func.func private @stage2_forward(tensor<4xf32> {alpa.value = "a0"}) attributes {alpa.phase = "forward", alpa.stage = 2 : i64}

// -----

// expected-error@+1 {{expected 'a0' to have one type in stage 2, got 'tensor<4xf32>' and 'tensor<2xf32>'}}
func.func private @stage2_forward(%x: tensor<4xf32> {alpa.value = "a0"}, %y: tensor<2xf32> {alpa.value = "a0"}) attributes {alpa.phase = "forward", alpa.stage = 2 : i64} {
  return
}
