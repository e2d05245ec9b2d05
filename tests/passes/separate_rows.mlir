// RUN: alpa-opt %s --alpa-separate-rows --split-input-file | FileCheck %s

// Of the stack there are three rows, of which the last is two long; attributes that name results follow.

// CHECK-LABEL: func.func public @main(
// CHECK-SAME: %arg0: tensor<1x4xf32> {alpa.name = "w", alpa.rows = array<i64: 0, 0, 0, 1>, alpa.state = 1 : i64, tf.aliasing_output = 1 : i32}
// CHECK-SAME: %arg1: tensor<1x4xf32> {alpa.name = "w", alpa.rows = array<i64: 0, 0, 1, 2>, alpa.state = 2 : i64, tf.aliasing_output = 2 : i32}
// CHECK-SAME: %arg2: tensor<2x4xf32> {alpa.name = "w", alpa.rows = array<i64: 0, 0, 2, 4>, alpa.state = 3 : i64, tf.aliasing_output = 3 : i32}
// CHECK-SAME: %arg3: tensor<1x4xf32> {alpa.state = 4 : i64}
// CHECK-SAME: -> (tensor<2x4xf32>, tensor<1x4xf32> {alpa.rows = array<i64: 1, 0, 0, 1>}, tensor<1x4xf32> {alpa.rows = array<i64: 1, 0, 1, 2>}, tensor<2x4xf32> {alpa.rows = array<i64: 1, 0, 2, 4>}, tensor<1x4xf32>)
// CHECK: %[[M:.*]] = stablehlo.multiply %arg0, %arg1
// CHECK: %[[FIRST:.*]] = stablehlo.concatenate %arg0, %arg1, dim = 0
// CHECK: %[[TWO:.*]] = stablehlo.add %[[FIRST]], %arg2
// CHECK: return %[[TWO]], %[[M]], %[[M]], %[[TWO]], %arg3
func.func public @main(%w: tensor<4x4xf32> {alpa.name = "w", alpa.state = 1 : i64, tf.aliasing_output = 1 : i32}, %b: tensor<1x4xf32> {alpa.state = 2 : i64}) -> (tensor<2x4xf32>, tensor<4x4xf32>, tensor<1x4xf32>) {
  %0 = stablehlo.slice %w [0:1, 0:4] : (tensor<4x4xf32>) -> tensor<1x4xf32>
  %1 = stablehlo.slice %w [1:2, 0:4] : (tensor<4x4xf32>) -> tensor<1x4xf32>
  %2 = stablehlo.multiply %0, %1 : tensor<1x4xf32>
  %3 = stablehlo.slice %w [0:2, 0:4] : (tensor<4x4xf32>) -> tensor<2x4xf32>
  %4 = stablehlo.slice %w [2:4, 0:4] : (tensor<4x4xf32>) -> tensor<2x4xf32>
  %5 = stablehlo.add %3, %4 : tensor<2x4xf32>
  %6 = stablehlo.concatenate %2, %2, %5, dim = 0 : (tensor<1x4xf32>, tensor<1x4xf32>, tensor<2x4xf32>) -> tensor<4x4xf32>
  return %5, %6, %b : tensor<2x4xf32>, tensor<4x4xf32>, tensor<1x4xf32>
}

// -----

// Read whole, renewed otherwise, or cut between its rows: it stays.

// CHECK-LABEL: func.func public @main(
// CHECK-NOT: alpa.rows
// CHECK: return
func.func public @main(%u: tensor<2x4xf32> {alpa.state = 0 : i64}, %v: tensor<2x4xf32> {alpa.state = 1 : i64}, %w: tensor<4x4xf32> {alpa.state = 2 : i64}) -> (tensor<2x4xf32>, tensor<2x4xf32>, tensor<4x4xf32>) {
  %0 = stablehlo.slice %u [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
  %1 = stablehlo.slice %v [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
  %2 = stablehlo.concatenate %0, %1, dim = 0 : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
  %3 = stablehlo.add %2, %u : tensor<2x4xf32>
  %4 = stablehlo.slice %w [1:3, 0:4] : (tensor<4x4xf32>) -> tensor<2x4xf32>
  %5 = stablehlo.concatenate %4, %2, dim = 0 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<4x4xf32>
  return %2, %3, %5 : tensor<2x4xf32>, tensor<2x4xf32>, tensor<4x4xf32>
}
