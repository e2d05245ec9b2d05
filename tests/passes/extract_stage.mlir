// RUN: alpa-opt %s --alpa-extract-stage=stage=1 --split-input-file | FileCheck %s

// CHECK: func.func public @main(%arg0: tensor<4xf32> {alpa.value = "v0", jax.buffer_donor = true}) -> (tensor<4xf32> {alpa.value = "r0"})
// CHECK-NEXT: %[[R:.*]] = call @stage1_forward(%arg0)
// CHECK-NEXT: return %[[R]]
// CHECK: func.func private @stage1_forward
// CHECK-NOT: func.func
func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
  %0 = stablehlo.exponential %x {alpa.phase = "forward"} : tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @stage1_forward(%0: tensor<4xf32> {alpa.value = "v0"}) -> (tensor<4xf32> {alpa.value = "r0"}) attributes {alpa.phase = "forward", alpa.stage = 1 : i64} {
  %1 = stablehlo.sine %0 {alpa.phase = "forward"} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @microbatch(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "r0"}) {
  %0 = call @stage0_forward(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = call @stage1_forward(%0) : (tensor<4xf32>) -> tensor<4xf32>
  return %1 : tensor<4xf32>
}


// -----

// The residual stays inside. The gradient is returned though nobody else reads it; the new weight is result 1 of this
// stage, 5 of the step. How often forward and backward run in a step is known.

// CHECK: func.func public @main(%arg0: tensor<4xf32> {alpa.value = "v0", jax.buffer_donor = true}, %arg1: tensor<4xf32> {alpa.argument = 2 : i64, alpa.state = 1 : i64, alpa.value = "a2"})
// CHECK-SAME: -> (tensor<4xf32> {alpa.accumulate = "add", alpa.for_update = true, alpa.value = "s0"}, tensor<4xf32> {alpa.result = 5 : i64, alpa.value = "r5"})
// CHECK-SAME: attributes {alpa.num_microbatches = 4 : i64}
// CHECK: call @stage1_forward(%arg0, %arg1)
// CHECK: call @stage1_backward
// CHECK: call @stage1_update0
func.func private @stage1_forward(%0: tensor<4xf32> {alpa.value = "v0"}, %w: tensor<4xf32> {alpa.argument = 2 : i64, alpa.state = 5 : i64, alpa.value = "a2"}) -> (tensor<4xf32> {alpa.value = "v1"}) attributes {alpa.phase = "forward", alpa.stage = 1 : i64} {
  %1 = stablehlo.multiply %0, %w {alpa.phase = "forward"} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @stage1_backward(%0: tensor<4xf32> {alpa.value = "v1"}) -> (tensor<4xf32> {alpa.accumulate = "add", alpa.value = "s0"}) attributes {alpa.phase = "backward", alpa.stage = 1 : i64} {
  %1 = stablehlo.sine %0 {alpa.phase = "backward"} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @stage1_update0(%0: tensor<4xf32> {alpa.value = "s0"}, %w: tensor<4xf32> {alpa.argument = 2 : i64, alpa.state = 5 : i64, alpa.value = "a2"}) -> (tensor<4xf32> {alpa.result = 5 : i64, alpa.value = "r5"}) attributes {alpa.phase = "update", alpa.round = 0 : i64, alpa.stage = 1 : i64} {
  %1 = stablehlo.add %0, %w {alpa.phase = "update"} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @microbatch() attributes {alpa.num_microbatches = 4 : i64} {
  return
}
func.func private @update(%w: tensor<4xf32>) -> (tensor<4xf32> {alpa.result = 5 : i64, alpa.value = "r5"}) {
  return %w : tensor<4xf32>
}


// -----

// Of sums, s0 is read by the update of another stage, s1 by its forward, and s2 is what the caller gets.

// CHECK: func.func public @main
// CHECK-SAME: {alpa.accumulate = "add", alpa.for_update = false, alpa.value = "s0"}
// CHECK-SAME: {alpa.accumulate = "add", alpa.value = "s1"}
// CHECK-SAME: {alpa.accumulate = "add", alpa.value = "s2"}
func.func private @stage1_backward(%0: tensor<4xf32> {alpa.value = "v1"}) -> (tensor<4xf32> {alpa.accumulate = "add", alpa.value = "s0"}, tensor<4xf32> {alpa.accumulate = "add", alpa.value = "s1"}, tensor<4xf32> {alpa.accumulate = "add", alpa.value = "s2"}) attributes {alpa.phase = "backward", alpa.stage = 1 : i64} {
  %1 = stablehlo.sine %0 {alpa.phase = "backward"} : tensor<4xf32>
  %2 = stablehlo.cosine %0 {alpa.phase = "backward"} : tensor<4xf32>
  %3 = stablehlo.tanh %0 {alpa.phase = "backward"} : tensor<4xf32>
  return %1, %2, %3 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}
func.func private @stage0_forward(%0: tensor<4xf32> {alpa.value = "s1"}) -> (tensor<4xf32> {alpa.value = "v2"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
  return %0 : tensor<4xf32>
}
func.func private @stage0_update0(%0: tensor<4xf32> {alpa.value = "s0"}) -> (tensor<4xf32> {alpa.value = "r5"}) attributes {alpa.phase = "update", alpa.round = 0 : i64, alpa.stage = 0 : i64} {
  return %0 : tensor<4xf32>
}
func.func private @microbatch() -> (tensor<4xf32> {alpa.accumulator = 0 : i64, alpa.value = "s0"}, tensor<4xf32> {alpa.accumulator = 2 : i64, alpa.value = "s2"}) attributes {alpa.num_microbatches = 4 : i64}
func.func private @main() -> (tensor<4xf32> {alpa.result = 1 : i64, alpa.value = "s2"})
