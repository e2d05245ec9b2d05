// RUN: alpa-opt %s --alpa-cluster-layers=num-layers=2 --split-input-file | FileCheck %s

// Tied weights: the first parameter is read in both layers, its gradient has a part in each, and the parts are added where
// the parameter is read first. Norms of the gradients meet in layer 0; what they scale is broadcast where it is needed.
// The new step count has no layer.

// CHECK-LABEL: func.func private @microbatch
// CHECK: add %arg3, {{.*}}alpa.layer = 1
// CHECK: add %arg4, {{.*}}alpa.layer = 0
// CHECK: add %arg5, {{.*}}alpa.layer = 1
// CHECK-LABEL: func.func private @update
// CHECK: add %arg3, %arg4 {alpa.layer = 0
// CHECK: multiply{{.*}} {alpa.layer = 0
// CHECK: reduce{{.*}} {alpa.layer = 0
// CHECK: multiply{{.*}} {alpa.layer = 1
// CHECK: reduce{{.*}} {alpa.layer = 1
// CHECK: add{{.*}} {alpa.layer = 0 : i64} : tensor<f32>
// CHECK: rsqrt{{.*}} {alpa.layer = 0 : i64} : tensor<f32>
// CHECK: broadcast_in_dim %{{[^{]*}} : (tensor<f32>) -> tensor<8x8xf32>
// CHECK: multiply{{.*}} {alpa.layer = 0
// CHECK: multiply{{.*}} {alpa.layer = 1
// CHECK: broadcast_in_dim{{.*}}alpa.layer = 1{{.*}} -> tensor<64xf32>
// CHECK: reshape{{.*}} {alpa.layer = 1
// CHECK: multiply %arg2, %{{.*}} {alpa.layer = 1
// CHECK: add{{.*}} {alpa.layer = 1
// CHECK: subtract %arg0{{.*}} {alpa.layer = 0
// CHECK: subtract %arg1{{.*}} {alpa.layer = 1
// CHECK: add %arg6, %{{.*}} : tensor<i32>
func.func private @microbatch(%x: tensor<4x8xf32> {alpa.argument = 4 : i64, alpa.batch, alpa.role = "batch"}, %w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw1: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dw0: tensor<8x8xf32> {alpa.accumulator = 1 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 2 : i64}) -> (tensor<8x8xf32> {alpa.accumulator = 0 : i64}, tensor<8x8xf32> {alpa.accumulator = 1 : i64}, tensor<8x8xf32> {alpa.accumulator = 2 : i64}) {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = stablehlo.dot_general %0, %w, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %2 = stablehlo.dot_general %1, %v, contracting_dims = [1] x [1] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %3 = stablehlo.dot_general %0, %2, contracting_dims = [0] x [0] {alpa.gradient_of = [0], alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %4 = stablehlo.dot_general %2, %w, contracting_dims = [1] x [1] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %5 = stablehlo.dot_general %x, %4, contracting_dims = [0] x [0] {alpa.gradient_of = [0], alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %6 = stablehlo.dot_general %1, %2, contracting_dims = [0] x [0] {alpa.gradient_of = [1], alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %7 = stablehlo.add %dw1, %3 {alpa.gradient_of = [0], alpa.phase = "backward"} : tensor<8x8xf32>
  %8 = stablehlo.add %dw0, %5 {alpa.gradient_of = [0], alpa.phase = "backward"} : tensor<8x8xf32>
  %9 = stablehlo.add %dv, %6 {alpa.gradient_of = [1], alpa.phase = "backward"} : tensor<8x8xf32>
  return %7, %8, %9 : tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>
}
func.func private @update(%w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %m: tensor<8x8xf32> {alpa.argument = 2 : i64, alpa.role = "optimizer state"}, %dw1: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dw0: tensor<8x8xf32> {alpa.accumulator = 1 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 2 : i64}, %count: tensor<i32> {alpa.argument = 3 : i64, alpa.role = "optimizer state"}) -> (tensor<8x8xf32> {alpa.result = 0 : i64}, tensor<8x8xf32> {alpa.result = 1 : i64}, tensor<8x8xf32> {alpa.result = 2 : i64}, tensor<i32> {alpa.result = 3 : i64}) {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %dw = stablehlo.add %dw1, %dw0 : tensor<8x8xf32>
  %0 = stablehlo.multiply %dw, %dw : tensor<8x8xf32>
  %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [0, 1] : (tensor<8x8xf32>, tensor<f32>) -> tensor<f32>
  %2 = stablehlo.multiply %dv, %dv : tensor<8x8xf32>
  %3 = stablehlo.reduce(%2 init: %zero) applies stablehlo.add across dimensions = [0, 1] : (tensor<8x8xf32>, tensor<f32>) -> tensor<f32>
  %4 = stablehlo.add %1, %3 : tensor<f32>
  %5 = stablehlo.rsqrt %4 : tensor<f32>
  %6 = stablehlo.broadcast_in_dim %5, dims = [] : (tensor<f32>) -> tensor<8x8xf32>
  %7 = stablehlo.multiply %dw, %6 : tensor<8x8xf32>
  %8 = stablehlo.multiply %dv, %6 : tensor<8x8xf32>
  %9 = stablehlo.broadcast_in_dim %5, dims = [] : (tensor<f32>) -> tensor<64xf32>
  %10 = stablehlo.reshape %9 : (tensor<64xf32>) -> tensor<8x8xf32>
  %11 = stablehlo.multiply %m, %10 : tensor<8x8xf32>
  %12 = stablehlo.add %11, %8 : tensor<8x8xf32>
  %13 = stablehlo.subtract %w, %7 : tensor<8x8xf32>
  %14 = stablehlo.subtract %v, %12 : tensor<8x8xf32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %15 = stablehlo.add %count, %one : tensor<i32>
  return %13, %14, %12, %15 : tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<i32>
}

// -----

// Gradients in one flat vector: what has several parameters is in layer 0, each parameter where it is.

// CHECK-LABEL: func.func private @update
// CHECK: reshape %arg2 {alpa.layer = 0
// CHECK: reshape %arg3 {alpa.layer = 1
// CHECK: concatenate {{.*}}alpa.layer = 0
// CHECK: slice {{.*}} {alpa.layer = 0
// CHECK: reshape {{.*}} {alpa.layer = 0
// CHECK: subtract %arg1{{.*}} {alpa.layer = 1
func.func private @microbatch(%x: tensor<4x8xf32> {alpa.argument = 2 : i64, alpa.batch, alpa.role = "batch"}, %w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.accumulator = 0 : i64}, tensor<8x8xf32> {alpa.accumulator = 1 : i64}) {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = stablehlo.dot_general %0, %v, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %2 = stablehlo.dot_general %0, %1, contracting_dims = [0] x [0] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %3 = stablehlo.dot_general %1, %v, contracting_dims = [1] x [1] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %4 = stablehlo.dot_general %x, %3, contracting_dims = [0] x [0] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %5 = stablehlo.add %dw, %4 {alpa.gradient_of = [0], alpa.phase = "backward"} : tensor<8x8xf32>
  %6 = stablehlo.add %dv, %2 {alpa.gradient_of = [1], alpa.phase = "backward"} : tensor<8x8xf32>
  return %5, %6 : tensor<8x8xf32>, tensor<8x8xf32>
}
func.func private @update(%w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.result = 1 : i64}, tensor<128xf32> {alpa.result = 2 : i64}, tensor<8x8xf32> {alpa.result = 0 : i64}) {
  %0 = stablehlo.reshape %dw : (tensor<8x8xf32>) -> tensor<64xf32>
  %1 = stablehlo.reshape %dv : (tensor<8x8xf32>) -> tensor<64xf32>
  %2 = stablehlo.concatenate %0, %1, dim = 0 : (tensor<64xf32>, tensor<64xf32>) -> tensor<128xf32>
  %3 = stablehlo.slice %2 [64:128] : (tensor<128xf32>) -> tensor<64xf32>
  %4 = stablehlo.reshape %3 : (tensor<64xf32>) -> tensor<8x8xf32>
  %5 = stablehlo.subtract %v, %4 : tensor<8x8xf32>
  %6 = stablehlo.slice %2 [0:64] : (tensor<128xf32>) -> tensor<64xf32>
  %7 = stablehlo.reshape %6 : (tensor<64xf32>) -> tensor<8x8xf32>
  %8 = stablehlo.subtract %w, %7 : tensor<8x8xf32>
  return %5, %2, %8 : tensor<8x8xf32>, tensor<128xf32>, tensor<8x8xf32>
}
