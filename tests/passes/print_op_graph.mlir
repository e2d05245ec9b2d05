// RUN: alpa-opt %s --alpa-print-op-graph --split-input-file -o /dev/null 2>&1 | FileCheck %s

// The example of Passes.td: a forward product and the gradient of its weight.

// CHECK: :[[# @LINE + 5]]:{{.*}}: remark: argument 0: batch, 128 bytes live [0, 1], batch in dim 0
// CHECK: remark: argument 1: parameter, 32 bytes live [0, 1]
// CHECK: :[[# @LINE + 4]]:{{.*}}: remark: op 0: 128 flops, reads 160 bytes, writes 64 bytes, runs 1, from [] to [1]; 64 bytes live [0, 1], batch in dim 0
// CHECK: remark: op 1: 128 flops, reads 192 bytes, writes 32 bytes, runs 1, from [0] to []; 32 bytes live [1, 1]; batch reduced here
// CHECK: remark: peak of 256 bytes
func.func public @main(%x: tensor<8x4xf32> {alpa.batch}, %w: tensor<4x2xf32> {alpa.state = 0 : i64}) -> tensor<4x2xf32> {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] {sdy.sharding_rule = #sdy.op_sharding_rule<([i, k], [k, j])->([i, j]) {i=8, j=2, k=4} reduction={k}>} : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
  %1 = stablehlo.dot_general %x, %0, contracting_dims = [0] x [0] {sdy.sharding_rule = #sdy.op_sharding_rule<([k, i], [k, j])->([i, j]) {i=4, j=2, k=8} reduction={k}>} : (tensor<8x4xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
  return %1 : tensor<4x2xf32>
}

// -----

// FLOPs by kind of op; slices and updates in place move what they touch, reshapes and constants nothing.

// CHECK: op 0: 0 flops, reads 0 bytes, writes 0 bytes, {{.*}}; 0 bytes live
// CHECK: op 1: 640 flops, reads 256 bytes, writes 256 bytes
// CHECK: op 2: 256 flops, reads 512 bytes, writes 256 bytes
// CHECK: op 3: 64 flops, reads 260 bytes, writes 32 bytes
// CHECK: op 4: 0 flops, reads 32 bytes, writes 32 bytes
// CHECK: op 5: 0 flops, reads 32 bytes, writes 32 bytes
// CHECK: op 6: 0 flops, reads 0 bytes, writes 0 bytes
// CHECK: op 7: 960 flops, reads 256 bytes, writes 320 bytes
// CHECK: op 8: 512 flops, reads 260 bytes, writes 128 bytes
func.func public @main(%x: tensor<8x8xf32>, %i: tensor<i32>) -> (tensor<8xf32>, tensor<8x8xf32>, tensor<64xf32>, tensor<8x5xcomplex<f32>>, tensor<4x8xf32>) {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %0 = stablehlo.tanh %x : tensor<8x8xf32>
  %1 = stablehlo.divide %0, %x : tensor<8x8xf32>
  %2 = stablehlo.reduce(%1 init: %zero) applies stablehlo.add across dimensions = [1] : (tensor<8x8xf32>, tensor<f32>) -> tensor<8xf32>
  %3 = stablehlo.slice %1 [0:1, 0:8] : (tensor<8x8xf32>) -> tensor<1x8xf32>
  %4 = stablehlo.dynamic_update_slice %1, %3, %i, %i : (tensor<8x8xf32>, tensor<1x8xf32>, tensor<i32>, tensor<i32>) -> tensor<8x8xf32>
  %5 = stablehlo.reshape %4 : (tensor<8x8xf32>) -> tensor<64xf32>
  %6 = stablehlo.fft %x, type = RFFT, length = [8] : (tensor<8x8xf32>) -> tensor<8x5xcomplex<f32>>
  %7 = "stablehlo.reduce_window"(%x, %zero) <{window_dimensions = array<i64: 4, 4>, window_strides = array<i64: 2, 1>, padding = dense<[[1, 1], [1, 2]]> : tensor<2x2xi64>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %8 = stablehlo.maximum %a, %b : tensor<f32>
    stablehlo.return %8 : tensor<f32>
  }) : (tensor<8x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  return %2, %4, %5, %6, %7 : tensor<8xf32>, tensor<8x8xf32>, tensor<64xf32>, tensor<8x5xcomplex<f32>>, tensor<4x8xf32>
}

// -----

// A product of batches of matrices, and a convolution with its gradients: as many FLOPs each way.

// CHECK: op 0: 6144 flops
// CHECK: op 1: 147456 flops
// CHECK: op 2: 147456 flops
// CHECK: op 3: 147456 flops
func.func public @main(%a: tensor<4x8x16xf32>, %b: tensor<4x6x16xf32>, %x: tensor<8x16x16x4xf32>, %k: tensor<3x3x2x8xf32>, %kt: tensor<3x3x4x4xf32>, %g: tensor<8x8x8x8xf32>) -> (tensor<4x8x6xf32>, tensor<8x8x8x8xf32>, tensor<3x3x2x8xf32>, tensor<8x16x16x4xf32>) {
  %0 = stablehlo.dot_general %a, %b, batching_dims = [0] x [0], contracting_dims = [2] x [2] : (tensor<4x8x16xf32>, tensor<4x6x16xf32>) -> tensor<4x8x6xf32>
  %1 = stablehlo.convolution(%x, %k) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [2, 2], pad = [[0, 1], [0, 1]]} {batch_group_count = 1 : i64, feature_group_count = 2 : i64} : (tensor<8x16x16x4xf32>, tensor<3x3x2x8xf32>) -> tensor<8x8x8x8xf32>
  %2 = stablehlo.convolution(%x, %g) dim_numbers = [f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f], window = {pad = [[0, 1], [0, 1]], rhs_dilate = [2, 2]} {batch_group_count = 2 : i64, feature_group_count = 1 : i64} : (tensor<8x16x16x4xf32>, tensor<8x8x8x8xf32>) -> tensor<3x3x2x8xf32>
  %3 = stablehlo.convolution(%g, %kt) dim_numbers = [b, 0, 1, f]x[0, 1, o, i]->[b, 0, 1, f], window = {pad = [[2, 1], [2, 1]], lhs_dilate = [2, 2]} {batch_group_count = 1 : i64, feature_group_count = 2 : i64} : (tensor<8x8x8x8xf32>, tensor<3x3x4x4xf32>) -> tensor<8x16x16x4xf32>
  return %0, %1, %2, %3 : tensor<4x8x6xf32>, tensor<8x8x8x8xf32>, tensor<3x3x2x8xf32>, tensor<8x16x16x4xf32>
}
