// RUN: alpa-opt %s --sdy-populate-op-sharding-rules --alpa-unroll-loops=all=true | FileCheck %s

// The gradient of stacked weights as it is summed when layers are indexed: an update of zeros is added each time. Rows are
// read backwards, negative indices wrap around.

// CHECK-LABEL: func.func public @summed
// CHECK: %[[G1:.*]] = stablehlo.reduce(%arg0
// CHECK: %[[R1:.*]] = stablehlo.reshape %[[G1]]
// CHECK: %[[G0:.*]] = stablehlo.reduce(%arg0
// CHECK: %[[R0:.*]] = stablehlo.reshape %[[G0]]
// CHECK: %[[ALL:.*]] = stablehlo.concatenate %[[R0]], %[[R1]], dim = 0
// CHECK-NEXT: return %[[ALL]]
func.func public @summed(%x: tensor<8xf32> {alpa.batch}) -> tensor<2xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %none = stablehlo.constant dense<0.0> : tensor<2xf32>
  %0:2 = stablehlo.while(%i = %zero, %total = %none) : tensor<i32>, tensor<2xf32>
  cond {
    %two = stablehlo.constant dense<2> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %two : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %none_f = stablehlo.constant dense<0.0> : tensor<f32>
    %1 = stablehlo.reduce(%x init: %none_f) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %2 = stablehlo.reshape %1 : (tensor<f32>) -> tensor<1xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %3 = stablehlo.negate %i : tensor<i32>
    %4 = stablehlo.subtract %3, %one : tensor<i32>
    %5 = stablehlo.compare LT, %4, %zero : (tensor<i32>, tensor<i32>) -> tensor<i1>
    %length = stablehlo.constant dense<2> : tensor<i32>
    %6 = stablehlo.add %4, %length : tensor<i32>
    %7 = stablehlo.select %5, %6, %4 : tensor<i1>, tensor<i32>
    %zeros = stablehlo.constant dense<0.0> : tensor<2xf32>
    %8 = stablehlo.dynamic_update_slice %zeros, %2, %7 : (tensor<2xf32>, tensor<1xf32>, tensor<i32>) -> tensor<2xf32>
    %9 = stablehlo.add %total, %8 : tensor<2xf32>
    %10 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %10, %9 : tensor<i32>, tensor<2xf32>
  }
  return %0#1 : tensor<2xf32>
}
