// RUN: alpa-opt %s --alpa-split-stacks --split-input-file | FileCheck %s

// Moments too, and a norm of all layers.

// CHECK-LABEL: func.func public @main(
// CHECK-DAG: %[[W0:.*]] = stablehlo.slice %arg0 [0:1, 0:4]
// CHECK-DAG: %[[W1:.*]] = stablehlo.slice %arg0 [1:2, 0:4]
// CHECK-DAG: %[[M0:.*]] = stablehlo.slice %arg1 [0:1, 0:4]
// CHECK-DAG: %[[M1:.*]] = stablehlo.slice %arg1 [1:2, 0:4]
// CHECK-DAG: %[[H0:.*]] = stablehlo.multiply %[[W0]], %arg2
// CHECK-DAG: %[[H1:.*]] = stablehlo.multiply %[[H0]], %[[W1]]
// CHECK-DAG: %[[N0:.*]] = stablehlo.add %[[M0]], %[[H0]] : tensor<1x4xf32>
// CHECK-DAG: %[[N1:.*]] = stablehlo.add %[[M1]], %[[H1]] : tensor<1x4xf32>
// CHECK-DAG: %[[S0:.*]] = stablehlo.reduce(%[[N0]] init: %{{.*}}) applies stablehlo.add across dimensions = [0, 1]
// CHECK-DAG: %[[S1:.*]] = stablehlo.reduce(%[[N1]] init: %{{.*}}) applies stablehlo.add across dimensions = [0, 1]
// CHECK-DAG: %[[S:.*]] = stablehlo.add %[[S0]], %[[S1]] : tensor<f32>
// CHECK-DAG: %[[B:.*]] = stablehlo.broadcast_in_dim %[[S]], dims = [] : (tensor<f32>) -> tensor<1x4xf32>
// CHECK-DAG: %[[D0:.*]] = stablehlo.divide %[[N0]], %[[B]]
// CHECK-DAG: %[[D1:.*]] = stablehlo.divide %[[N1]], %[[B]]
// CHECK-DAG: %[[V0:.*]] = stablehlo.subtract %[[W0]], %[[D0]]
// CHECK-DAG: %[[V1:.*]] = stablehlo.subtract %[[W1]], %[[D1]]
// CHECK-DAG: %[[V:.*]] = stablehlo.concatenate %[[V0]], %[[V1]], dim = 0
// CHECK-DAG: %[[N:.*]] = stablehlo.concatenate %[[N0]], %[[N1]], dim = 0
// CHECK: return %[[V]], %[[N]]
func.func public @main(%w: tensor<2x4xf32> {alpa.state = 0 : i64}, %m: tensor<2x4xf32> {alpa.state = 1 : i64}, %x: tensor<1x4xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %0 = stablehlo.slice %w [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
  %1 = stablehlo.multiply %0, %x : tensor<1x4xf32>
  %2 = stablehlo.slice %w [1:2, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
  %3 = stablehlo.multiply %1, %2 : tensor<1x4xf32>
  %4 = stablehlo.concatenate %1, %3, dim = 0 : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
  %5 = stablehlo.add %m, %4 : tensor<2x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %6 = stablehlo.reduce(%5 init: %zero) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x4xf32>, tensor<f32>) -> tensor<f32>
  %7 = stablehlo.broadcast_in_dim %6, dims = [] : (tensor<f32>) -> tensor<2x4xf32>
  %8 = stablehlo.divide %5, %7 : tensor<2x4xf32>
  %9 = stablehlo.subtract %w, %8 : tensor<2x4xf32>
  return %9, %5 : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----

// What is renewed otherwise than row by row stays, and so does what nobody reads row by row.

// CHECK-LABEL: func.func public @main(
// CHECK: stablehlo.reverse %arg0, dims = [0] : tensor<2x4xf32>
// CHECK: stablehlo.add %arg1, %arg1 : tensor<2x4xf32>
// CHECK-NOT: concatenate
func.func public @main(%w: tensor<2x4xf32> {alpa.state = 0 : i64}, %b: tensor<2x4xf32> {alpa.state = 1 : i64}) -> (tensor<2x4xf32>, tensor<2x4xf32>, tensor<1x4xf32>) {
  %0 = stablehlo.slice %w [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
  %1 = stablehlo.reverse %w, dims = [0] : tensor<2x4xf32>
  %2 = stablehlo.add %b, %b : tensor<2x4xf32>
  return %1, %2, %0 : tensor<2x4xf32>, tensor<2x4xf32>, tensor<1x4xf32>
}
