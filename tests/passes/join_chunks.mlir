// RUN: alpa-opt %s --sdy-populate-op-sharding-rules --alpa-join-chunks="num-microbatches=4" --split-input-file | FileCheck %s

// CHECK-LABEL: func.func public @main(%arg0: tensor<4xf32>
// CHECK-NOT: stablehlo.while
// CHECK: %[[CHUNKS:.*]] = stablehlo.reshape %arg0 {{.*}}: (tensor<4xf32>) -> tensor<2x2xf32>
// CHECK: %[[WHOLE:.*]] = stablehlo.reshape %[[CHUNKS]] : (tensor<2x2xf32>) -> tensor<4xf32>
// CHECK-NEXT: %[[ONE:.*]] = stablehlo.reshape %[[WHOLE]] : (tensor<4xf32>) -> tensor<1x4xf32>
// CHECK: %[[X:.*]] = stablehlo.reshape %[[ONE]] : (tensor<1x4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %[[SINE:.*]] = stablehlo.sine %[[X]] : tensor<4xf32>
// CHECK-NEXT: %[[SUM:.*]] = stablehlo.reduce(%[[SINE]] init: %{{.*}}) applies stablehlo.add across dimensions = [0] : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
// CHECK-NEXT: %[[ALL:.*]] = stablehlo.add %{{.*}}, %[[SUM]] : tensor<f32>
// CHECK: return %[[ALL]]
func.func public @main(%x: tensor<4xf32> {alpa.batch}) -> tensor<f32> {
  %first = stablehlo.constant dense<0> : tensor<i32>
  %none = stablehlo.constant dense<0.0> : tensor<f32>
  %chunks = stablehlo.reshape %x : (tensor<4xf32>) -> tensor<2x2xf32>
  %0:3 = stablehlo.while(%i = %first, %sum = %none, %xs = %chunks) : tensor<i32>, tensor<f32>, tensor<2x2xf32>
  cond {
    %n = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %zero = stablehlo.constant dense<0> : tensor<i32>
    %nothing = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = stablehlo.dynamic_slice %xs, %i, %zero, sizes = [1, 2] : (tensor<2x2xf32>, tensor<i32>, tensor<i32>) -> tensor<1x2xf32>
    %2 = stablehlo.reshape %1 : (tensor<1x2xf32>) -> tensor<2xf32>
    %3 = stablehlo.sine %2 : tensor<2xf32>
    %4 = stablehlo.reduce(%3 init: %nothing) applies stablehlo.add across dimensions = [0] : (tensor<2xf32>, tensor<f32>) -> tensor<f32>
    %5 = stablehlo.add %sum, %4 : tensor<f32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %6 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %6, %5, %xs : tensor<i32>, tensor<f32>, tensor<2x2xf32>
  }
  return %0#1 : tensor<f32>
}

// -----

// Chunks stacked behind their examples are moved before them, and back in what is written, also from the last to the first;
// what every chunk reads is there as often as there are chunks.

// CHECK-LABEL: func.func public @main(%arg0: tensor<4xf32>
// CHECK-NOT: stablehlo.while
// CHECK: %[[CHUNKS:.*]] = stablehlo.reshape %arg0 {{.*}}: (tensor<4xf32>) -> tensor<2x2xf32>
// CHECK: %[[MOVED:.*]] = stablehlo.transpose %{{.*}}, dims = [1, 0] : (tensor<2x2xf32>) -> tensor<2x2xf32>
// CHECK-NEXT: %[[WHOLE:.*]] = stablehlo.reshape %[[MOVED]] : (tensor<2x2xf32>) -> tensor<4xf32>
// CHECK-NEXT: %[[ONE:.*]] = stablehlo.reshape %[[WHOLE]] : (tensor<4xf32>) -> tensor<4x1xf32>
// CHECK: %[[W:.*]] = stablehlo.reshape %arg1 : (tensor<2x1xf32>) -> tensor<1x2x1xf32>
// CHECK-NEXT: %[[TWICE:.*]] = stablehlo.concatenate %[[W]], %[[W]], dim = 1 : (tensor<1x2x1xf32>, tensor<1x2x1xf32>) -> tensor<1x4x1xf32>
// CHECK-NEXT: %[[REPEATED:.*]] = stablehlo.reshape %[[TWICE]] : (tensor<1x4x1xf32>) -> tensor<4x1xf32>
// CHECK: %[[OUT:.*]] = stablehlo.multiply %[[ONE]], %[[REPEATED]] : tensor<4x1xf32>
// CHECK-NEXT: %[[BACK:.*]] = stablehlo.reshape %[[OUT]] : (tensor<4x1xf32>) -> tensor<4xf32>
// CHECK-NEXT: %[[APART:.*]] = stablehlo.reshape %[[BACK]] : (tensor<4xf32>) -> tensor<2x2xf32>
// CHECK-NEXT: %[[RESULT:.*]] = stablehlo.transpose %[[APART]], dims = [1, 0] : (tensor<2x2xf32>) -> tensor<2x2xf32>
// CHECK: return %[[RESULT]]
func.func public @main(%x: tensor<4xf32> {alpa.batch}, %w: tensor<2x1xf32>) -> tensor<2x2xf32> {
  %first = stablehlo.constant dense<0> : tensor<i32>
  %none = stablehlo.constant dense<0.0> : tensor<2x2xf32>
  %chunks = stablehlo.reshape %x : (tensor<4xf32>) -> tensor<2x2xf32>
  %behind = stablehlo.transpose %chunks, dims = [1, 0] : (tensor<2x2xf32>) -> tensor<2x2xf32>
  %0:3 = stablehlo.while(%i = %first, %out = %none, %xs = %behind) : tensor<i32>, tensor<2x2xf32>, tensor<2x2xf32>
  cond {
    %n = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %zero = stablehlo.constant dense<0> : tensor<i32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %place = stablehlo.subtract %one, %i : tensor<i32>
    %1 = stablehlo.dynamic_slice %xs, %zero, %place, sizes = [2, 1] : (tensor<2x2xf32>, tensor<i32>, tensor<i32>) -> tensor<2x1xf32>
    %2 = stablehlo.multiply %1, %w : tensor<2x1xf32>
    %3 = stablehlo.dynamic_update_slice %out, %2, %zero, %place : (tensor<2x2xf32>, tensor<2x1xf32>, tensor<i32>, tensor<i32>) -> tensor<2x2xf32>
    %6 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %6, %3, %xs : tensor<i32>, tensor<2x2xf32>, tensor<2x2xf32>
  }
  return %0#1 : tensor<2x2xf32>
}

// -----

// The square of a sum is not the sum of squares: the loop stays.

// CHECK-LABEL: func.func public @main(%arg0: tensor<4xf32>
// CHECK: stablehlo.while
func.func public @main(%x: tensor<4xf32> {alpa.batch}) -> tensor<f32> {
  %first = stablehlo.constant dense<0> : tensor<i32>
  %none = stablehlo.constant dense<0.0> : tensor<f32>
  %chunks = stablehlo.reshape %x : (tensor<4xf32>) -> tensor<2x2xf32>
  %0:3 = stablehlo.while(%i = %first, %sum = %none, %xs = %chunks) : tensor<i32>, tensor<f32>, tensor<2x2xf32>
  cond {
    %n = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %zero = stablehlo.constant dense<0> : tensor<i32>
    %nothing = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = stablehlo.dynamic_slice %xs, %i, %zero, sizes = [1, 2] : (tensor<2x2xf32>, tensor<i32>, tensor<i32>) -> tensor<1x2xf32>
    %2 = stablehlo.reshape %1 : (tensor<1x2xf32>) -> tensor<2xf32>
    %4 = stablehlo.reduce(%2 init: %nothing) applies stablehlo.add across dimensions = [0] : (tensor<2xf32>, tensor<f32>) -> tensor<f32>
    %square = stablehlo.multiply %4, %4 : tensor<f32>
    %5 = stablehlo.add %sum, %square : tensor<f32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %6 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %6, %5, %xs : tensor<i32>, tensor<f32>, tensor<2x2xf32>
  }
  return %0#1 : tensor<f32>
}
