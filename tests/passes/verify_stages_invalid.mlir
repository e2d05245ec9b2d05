// RUN: alpa-opt %s --alpa-verify-stages --split-input-file --verify-diagnostics -o /dev/null

func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
  // expected-error@+1 {{expected ops of phase "forward" in @stage0_forward, got 'stablehlo.exponential' of phase "backward"}}
  %0 = stablehlo.exponential %x {alpa.phase = "backward"} : tensor<4xf32>
  return
}

// -----

// expected-error@+1 {{expected 'alpa.stage' and 'alpa.phase' on @stage0_forward}}
func.func private @stage0_forward() {
  return
}

// -----

// expected-error@+1 {{expected 'alpa.value' on argument 0}}
func.func private @stage0_forward(%x: tensor<4xf32>) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
  return
}

// -----

func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
  %0 = stablehlo.exponential %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}
// expected-error@+1 {{expected a name of its own ('alpa.value') for result 0, got 'v0'}}
func.func private @stage1_forward(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"}) attributes {alpa.phase = "forward", alpa.stage = 1 : i64} {
  %0 = stablehlo.exponential %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
  %0 = stablehlo.exponential %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @microbatch(%x: tensor<4xf32> {alpa.value = "a1"}) {
  // expected-error@+1 {{expected 'a0' as argument 0 of @stage0_forward, got 'a1'}}
  %0 = call @stage0_forward(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func private @microbatch(%x: tensor<4xf32> {alpa.value = "a0"}) {
  // expected-error@+1 {{expected @microbatch to call functions of stages, got 'stablehlo.exponential'}}
  %0 = stablehlo.exponential %x : tensor<4xf32>
  return
}

// -----

// expected-error@+1 {{expected a function @microbatch; run alpa-split-stages first}}
module {
}
