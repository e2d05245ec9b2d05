// RUN: alpa-opt %s --alpa-split-stages=first-layers=0,1 --split-input-file | FileCheck %s

// CHECK: func.func private @stage0_forward(%arg0: tensor<4xf32> {alpa.argument = 0 : i64, alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64}
// CHECK-NEXT: exponential %arg0
// CHECK: func.func private @stage1_forward(%arg0: tensor<4xf32> {alpa.value = "v0"}) -> (tensor<4xf32> {alpa.result = 0 : i64, alpa.value = "r0"}) attributes {alpa.phase = "forward", alpa.stage = 1 : i64}
// CHECK-NEXT: sine %arg0
// CHECK: func.func private @microbatch
// CHECK-NEXT: %[[A:.*]] = call @stage0_forward(%arg0)
// CHECK-NEXT: %[[B:.*]] = call @stage1_forward(%[[A]])
// CHECK-NEXT: return %[[B]]
// CHECK: func.func private @update
func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) -> (tensor<4xf32> {alpa.result = 0 : i64}) {
  %0 = stablehlo.exponential %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
  %1 = stablehlo.sine %0 {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @update() {
  return
}


// -----

// The backward runs from the last stage to the first. A residual stays with its stage, a part of a sum is returned and
// added by the caller. The mask belongs nowhere and is made wherever it is read; what a broadcast makes is not sent.

// CHECK: func.func private @stage0_forward
// CHECK-SAME: -> (tensor<2x4xf32> {alpa.value = "[[H:v[0-9]]]"}, tensor<4xf32> {alpa.value = "[[SMALL:v[0-9]]]"})
// CHECK: func.func private @stage1_forward
// CHECK-SAME: {alpa.value = "[[H]]"}
// CHECK-SAME: -> (tensor<f32> {alpa.accumulate = "add", alpa.accumulator = 0 : i64, alpa.value = "s0"}, tensor<2x4xf32> {alpa.value = "[[Y:v[0-9]]]"})
// CHECK: stablehlo.iota
// CHECK: func.func private @stage1_backward
// CHECK-SAME: {alpa.value = "[[SMALL]]"}
// CHECK-SAME: {alpa.value = "[[Y]]"}
// CHECK-SAME: -> (tensor<2x4xf32> {alpa.value = "[[D:v[0-9]]]"})
// CHECK: stablehlo.broadcast_in_dim
// CHECK: func.func private @stage0_backward
// CHECK-SAME: -> (tensor<2x4xf32> {alpa.accumulate = "add", alpa.accumulator = 1 : i64, alpa.value = "s1"})
// CHECK: stablehlo.iota
// CHECK: func.func private @microbatch
// CHECK: call @stage0_forward
// CHECK: call @stage1_forward
// CHECK: call @stage1_backward
// CHECK: call @stage0_backward
// CHECK: stablehlo.add %arg1
// CHECK: stablehlo.add %arg2
func.func private @microbatch(%x: tensor<2x4xf32> {alpa.argument = 0 : i64}, %loss: tensor<f32> {alpa.accumulator = 0 : i64}, %sum: tensor<2x4xf32> {alpa.accumulator = 1 : i64}) -> (tensor<f32> {alpa.accumulate = "add", alpa.accumulator = 0 : i64}, tensor<2x4xf32> {alpa.accumulate = "add", alpa.accumulator = 1 : i64}) {
  %mask = stablehlo.iota dim = 1 {alpa.phase = "forward"} : tensor<2x4xf32>
  %h = stablehlo.sine %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<2x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %small = stablehlo.reduce(%h init: %zero) applies stablehlo.maximum across dimensions = [0] {alpa.layer = 0 : i64, alpa.phase = "forward"} : (tensor<2x4xf32>, tensor<f32>) -> tensor<4xf32>
  %wide = stablehlo.broadcast_in_dim %small, dims = [1] {alpa.layer = 0 : i64, alpa.phase = "forward"} : (tensor<4xf32>) -> tensor<2x4xf32>
  %y0 = stablehlo.exponential %h {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<2x4xf32>
  %y = stablehlo.tanh %y0 {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<2x4xf32>
  %masked = stablehlo.multiply %y, %mask {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<2x4xf32>
  %part = stablehlo.reduce(%masked init: %zero) applies stablehlo.add across dimensions = [0, 1] {alpa.layer = 1 : i64, alpa.phase = "forward"} : (tensor<2x4xf32>, tensor<f32>) -> tensor<f32>
  %total = stablehlo.add %loss, %part {alpa.phase = "forward"} : tensor<f32>
  %d1 = stablehlo.divide %wide, %y {alpa.layer = 1 : i64, alpa.phase = "backward"} : tensor<2x4xf32>
  %d0 = stablehlo.power %d1, %mask {alpa.layer = 0 : i64, alpa.phase = "backward"} : tensor<2x4xf32>
  %sum1 = stablehlo.add %sum, %d0 {alpa.phase = "backward"} : tensor<2x4xf32>
  return %total, %sum1 : tensor<f32>, tensor<2x4xf32>
}
func.func private @update() {
  return
}

// -----

// Clipping by a norm over both stages: stage 0 adds up and goes on in the second round, stage 1 in the third. The count belongs to nobody; the first turn returns it.

// CHECK: func.func private @stage0_update0
// CHECK-SAME: alpa.round = 0 : i64
// CHECK: func.func private @stage1_update0
// CHECK: func.func private @stage0_update1
// CHECK-NOT: @stage0_update2
// CHECK: func.func private @stage1_update2
// CHECK: func.func private @update
// CHECK-SAME: tensor<f32> {alpa.result = 2 : i64, alpa.value = "s0"}
// CHECK: call @stage0_update0
// CHECK: call @stage1_update0
// CHECK: call @stage0_update1
// CHECK: call @stage1_update2
func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) {
  return
}
func.func private @update(%s0: tensor<f32> {alpa.accumulator = 0 : i64}, %g0: tensor<4xf32> {alpa.accumulator = 1 : i64}, %g1: tensor<4xf32> {alpa.accumulator = 2 : i64}, %count: tensor<i32> {alpa.argument = 2 : i64}) -> (tensor<4xf32> {alpa.result = 0 : i64}, tensor<4xf32> {alpa.result = 1 : i64}, tensor<f32> {alpa.result = 2 : i64}, tensor<i32> {alpa.result = 3 : i64}) {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %n0 = stablehlo.reduce(%g0 init: %zero) applies stablehlo.add across dimensions = [0] {alpa.layer = 0 : i64} : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
  %n1 = stablehlo.reduce(%g1 init: %zero) applies stablehlo.add across dimensions = [0] {alpa.layer = 1 : i64} : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
  %n = stablehlo.add %n0, %n1 {alpa.layer = 0 : i64} : tensor<f32>
  %wide = stablehlo.broadcast_in_dim %n, dims = [] : (tensor<f32>) -> tensor<4xf32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %next = stablehlo.add %count, %one : tensor<i32>
  %p0 = stablehlo.multiply %g0, %wide {alpa.layer = 0 : i64} : tensor<4xf32>
  %p1 = stablehlo.multiply %g1, %wide {alpa.layer = 1 : i64} : tensor<4xf32>
  return %p0, %p1, %s0, %next : tensor<4xf32>, tensor<4xf32>, tensor<f32>, tensor<i32>
}
