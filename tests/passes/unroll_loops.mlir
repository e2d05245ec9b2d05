// RUN: alpa-opt %s --sdy-populate-op-sharding-rules --alpa-unroll-loops --split-input-file | FileCheck %s

// CHECK-LABEL: func.func public @main
// CHECK-NEXT: %[[W0:.*]] = stablehlo.slice %arg1 [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
// CHECK-NEXT: %[[R0:.*]] = stablehlo.reshape %[[W0]]
// CHECK-NEXT: %[[H0:.*]] = stablehlo.multiply %arg0, %[[R0]]
// CHECK-NEXT: %[[O0:.*]] = stablehlo.reshape %[[H0]]
// CHECK-NEXT: %[[W1:.*]] = stablehlo.slice %arg1 [1:2, 0:4]
// CHECK-NEXT: %[[R1:.*]] = stablehlo.reshape %[[W1]]
// CHECK-NEXT: %[[H1:.*]] = stablehlo.multiply %[[H0]], %[[R1]]
// CHECK-NEXT: %[[O1:.*]] = stablehlo.reshape %[[H1]]
// CHECK-NEXT: %[[HS:.*]] = stablehlo.concatenate %[[O0]], %[[O1]], dim = 0
// CHECK-NEXT: return %[[H1]], %[[HS]]
func.func public @main(%x: tensor<4xf32> {alpa.batch}, %w: tensor<2x4xf32>) -> (tensor<4xf32>, tensor<2x4xf32>) {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %none = stablehlo.constant dense<0.0> : tensor<2x4xf32>
  %0:3 = stablehlo.while(%i = %zero, %h = %x, %hs = %none) : tensor<i32>, tensor<4xf32>, tensor<2x4xf32>
  cond {
    %two = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %two : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %first = stablehlo.constant dense<0> : tensor<i32>
    %1 = stablehlo.dynamic_slice %w, %i, %first, sizes = [1, 4] : (tensor<2x4xf32>, tensor<i32>, tensor<i32>) -> tensor<1x4xf32>
    %2 = stablehlo.reshape %1 : (tensor<1x4xf32>) -> tensor<4xf32>
    %3 = stablehlo.multiply %h, %2 : tensor<4xf32>
    %4 = stablehlo.reshape %3 : (tensor<4xf32>) -> tensor<1x4xf32>
    %5 = stablehlo.dynamic_update_slice %hs, %4, %i, %first : (tensor<2x4xf32>, tensor<1x4xf32>, tensor<i32>, tensor<i32>) -> tensor<2x4xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %6 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %6, %3, %5 : tensor<i32>, tensor<4xf32>, tensor<2x4xf32>
  }
  return %0#1, %0#2 : tensor<4xf32>, tensor<2x4xf32>
}

// -----

// A sum over the batch: unrolled for it alone. Row 2 is beyond the last, so the start is clamped.

// CHECK-LABEL: func.func public @clamped
// CHECK-NOT: while
// CHECK: %[[ROW:.*]] = stablehlo.slice %arg1 [1:2] : (tensor<2xf32>) -> tensor<1xf32>
// CHECK: %[[SUM:.*]] = stablehlo.reduce(%arg0
// CHECK: stablehlo.add %[[ROW]], %{{.*}} : tensor<1xf32>
// CHECK-NOT: dynamic_slice
func.func public @clamped(%x: tensor<8xf32> {alpa.batch}, %w: tensor<2xf32>) -> tensor<1xf32> {
  %two = stablehlo.constant dense<2> : tensor<i32>
  %start = stablehlo.constant dense<0.0> : tensor<1xf32>
  %0:2 = stablehlo.while(%i = %two, %s = %start) : tensor<i32>, tensor<1xf32>
  cond {
    %three = stablehlo.constant dense<3> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %three : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %1 = stablehlo.dynamic_slice %w, %i, sizes = [1] : (tensor<2xf32>, tensor<i32>) -> tensor<1xf32>
    %none = stablehlo.constant dense<0.0> : tensor<f32>
    %2 = stablehlo.reduce(%x init: %none) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %3 = stablehlo.reshape %2 : (tensor<f32>) -> tensor<1xf32>
    %4 = stablehlo.add %1, %3 : tensor<1xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %5 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %5, %4 : tensor<i32>, tensor<1xf32>
  }
  return %0#1 : tensor<1xf32>
}

// -----

// No weights by layer: it stays, and so does its number.

// CHECK-LABEL: func.func public @stays
// CHECK: stablehlo.while
// CHECK: alpa.op = 7
func.func public @stays(%x: tensor<8xf32> {alpa.batch}) -> tensor<8xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %0:2 = stablehlo.while(%i = %zero, %y = %x) : tensor<i32>, tensor<8xf32>
  cond {
    %two = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %two : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %1 = stablehlo.tanh %y {alpa.op = 7 : i64} : tensor<8xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %2 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %2, %1 : tensor<i32>, tensor<8xf32>
  }
  return %0#1 : tensor<8xf32>
}

// -----

// A loop that only adds up sums over the batch stays: microbatches contribute to what it returns.

// CHECK-LABEL: func.func public @total
// CHECK: stablehlo.while
func.func public @total(%x: tensor<8xf32> {alpa.batch}) -> tensor<f32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %none = stablehlo.constant dense<0.0> : tensor<f32>
  %0:2 = stablehlo.while(%i = %zero, %total = %none) : tensor<i32>, tensor<f32>
  cond {
    %two = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %two : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %none_f = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = stablehlo.reduce(%x init: %none_f) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %2 = stablehlo.add %total, %1 : tensor<f32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %3 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %3, %2 : tensor<i32>, tensor<f32>
  }
  return %0#1 : tensor<f32>
}

// -----

// This one squares what it has: its iterations have sums of their own, which microbatches can contribute to.

// CHECK-LABEL: func.func public @squared
// CHECK-NOT: stablehlo.while
// CHECK-COUNT-2: stablehlo.reduce
func.func public @squared(%x: tensor<8xf32> {alpa.batch}) -> tensor<f32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %none = stablehlo.constant dense<0.0> : tensor<f32>
  %0:2 = stablehlo.while(%i = %zero, %total = %none) : tensor<i32>, tensor<f32>
  cond {
    %two = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %two : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %none_f = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = stablehlo.reduce(%x init: %none_f) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %2 = stablehlo.multiply %1, %1 : tensor<f32>
    %3 = stablehlo.add %total, %2 : tensor<f32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %4 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %4, %3 : tensor<i32>, tensor<f32>
  }
  return %0#1 : tensor<f32>
}
