// Which dim counts examples, where the batch ends, and what that says of the arguments.
// RUN: alpa-opt %s --alpa-normalize --sdy-populate-op-sharding-rules --alpa-print-op-graph --split-input-file -o /dev/null 2>&1 | FileCheck %s

// A training step: argument 1 meets the batch through a broadcast and is a parameter, its momentum and the step count meet
// only sums over examples, the key is no number to train.

// CHECK: argument 0: batch, {{.*}}, batch in dim 0
// CHECK: argument 1: parameter
// CHECK: argument 2: optimizer state
// CHECK: argument 3: optimizer state
// CHECK: argument 4: optimizer state
// CHECK: argument 5: other
// CHECK: op 0: {{.*}} bytes live [0, 12]{{$}}
// CHECK: op 1: {{.*}}, batch in dim 0{{$}}
// CHECK: op 7: {{.*}} bytes live [7, 12]{{$}}
// CHECK: op 10: {{.*}}, batch in dim 0{{$}}
// CHECK: op 12: {{.*}} bytes live [12, 13]; batch reduced here
// CHECK-NOT: , batch in
// CHECK: peak
func.func public @step(%x: tensor<8x4xf32> {alpa.batch}, %b: tensor<4xf32> {alpa.state = 0 : i64}, %m: tensor<4xf32> {alpa.state = 1 : i64}, %n: tensor<f32> {alpa.state = 2 : i64}, %key: tensor<8xui32> {alpa.state = 3 : i64}, %rate: tensor<f32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<f32>, tensor<8xui32>) {
  %0 = stablehlo.broadcast_in_dim %b, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %1 = stablehlo.add %x, %0 : tensor<8x4xf32>
  %one = stablehlo.constant dense<1.0> : tensor<f32>
  %seed = stablehlo.constant dense<1> : tensor<8xui32>
  %2 = stablehlo.add %key, %seed : tensor<8xui32>
  %3 = stablehlo.add %n, %one : tensor<f32>
  %4 = stablehlo.convert %2 : (tensor<8xui32>) -> tensor<8xf32>
  %5 = stablehlo.broadcast_in_dim %4, dims = [0] : (tensor<8xf32>) -> tensor<8x4xf32>
  %6 = stablehlo.broadcast_in_dim %3, dims = [] : (tensor<f32>) -> tensor<4xf32>
  %7 = stablehlo.multiply %m, %6 : tensor<4xf32>
  %8 = stablehlo.multiply %1, %5 : tensor<8x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %9 = stablehlo.reduce(%8 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  %10 = stablehlo.add %7, %9 : tensor<4xf32>
  %11 = stablehlo.broadcast_in_dim %rate, dims = [] : (tensor<f32>) -> tensor<4xf32>
  %12 = stablehlo.multiply %10, %11 : tensor<4xf32>
  %13 = stablehlo.subtract %b, %12 : tensor<4xf32>
  return %13, %10, %3, %2 : tensor<4xf32>, tensor<4xf32>, tensor<f32>, tensor<8xui32>
}

// -----

// Folded into another dim, transposed, unfolded, and stacked by a loop over layers.

// CHECK: argument 1: parameter
// CHECK: op 0: {{.*}}, batch in dim 0 above 6{{$}}
// CHECK: op 1: {{.*}}, batch in dim 1 above 6{{$}}
// CHECK: op 2: {{.*}}, batch in dim 1{{$}}
// CHECK: op 3: {{.*}}, batch in dim 2{{$}}
// CHECK: op 4: {{.*}}, batch in dim 1{{$}}
// CHECK: op 5: {{.*}}, batch in dim 0{{$}}
// CHECK: op {{[0-9]*}}: {{.*}} runs 1, {{.*}}; 4 bytes {{.*}}; 0 bytes live [{{[0-9]+}}, {{[0-9]+}}]; 2304 bytes live [{{[0-9]+}}, {{[0-9]+}}], batch in dim 1
// CHECK-NOT: batch {{reduced|mixed|lost}}
func.func public @places(%x: tensor<8x6x4xf32> {alpa.batch}, %w: tensor<3x8xf32> {alpa.state = 0 : i64}) -> (tensor<3x8xf32>, tensor<3x8x24xf32>) {
  %0 = stablehlo.reshape %x : (tensor<8x6x4xf32>) -> tensor<48x4xf32>
  %1 = stablehlo.transpose %0, dims = [1, 0] : (tensor<48x4xf32>) -> tensor<4x48xf32>
  %2 = stablehlo.reshape %1 : (tensor<4x48xf32>) -> tensor<4x8x6xf32>
  %3 = stablehlo.transpose %2, dims = [0, 2, 1] : (tensor<4x8x6xf32>) -> tensor<4x6x8xf32>
  %4 = stablehlo.reshape %3 : (tensor<4x6x8xf32>) -> tensor<24x8xf32>
  %5 = stablehlo.transpose %4, dims = [1, 0] : (tensor<24x8xf32>) -> tensor<8x24xf32>
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %float = stablehlo.constant dense<0.0> : tensor<f32>
  %6 = stablehlo.broadcast_in_dim %float, dims = [] : (tensor<f32>) -> tensor<3x8x24xf32>
  %7:3 = stablehlo.while(%i = %zero, %v = %w, %stack = %6) : tensor<i32>, tensor<3x8xf32>, tensor<3x8x24xf32>
  cond {
    %limit = stablehlo.constant dense<3> : tensor<i32>
    %8 = stablehlo.compare LT, %i, %limit : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %8 : tensor<i1>
  } do {
    %one = stablehlo.constant dense<1> : tensor<i32>
    %none = stablehlo.constant dense<0> : tensor<i32>
    %8 = stablehlo.dynamic_slice %v, %i, %none, sizes = [1, 8] : (tensor<3x8xf32>, tensor<i32>, tensor<i32>) -> tensor<1x8xf32>
    %9 = stablehlo.broadcast_in_dim %8, dims = [0, 1] : (tensor<1x8xf32>) -> tensor<1x8x24xf32>
    %10 = stablehlo.broadcast_in_dim %5, dims = [1, 2] : (tensor<8x24xf32>) -> tensor<1x8x24xf32>
    %11 = stablehlo.multiply %9, %10 : tensor<1x8x24xf32>
    %12 = stablehlo.dynamic_update_slice %stack, %11, %i, %none, %none : (tensor<3x8x24xf32>, tensor<1x8x24xf32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<3x8x24xf32>
    %13 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %13, %v, %12 : tensor<i32>, tensor<3x8xf32>, tensor<3x8x24xf32>
  }
  return %7#1, %7#2 : tensor<3x8xf32>, tensor<3x8x24xf32>
}

// -----

// Examples meet in a product of the batch with itself, in a sort and in a slice along the batch; an op without a rule loses
// them. A reshape that cuts the batch in pieces counts groups of examples. A barrier passes several values on side by side.

// CHECK: op 1: {{.*}} batch in dim 0; {{.*}} batch in dim 1{{$}}
// CHECK: op 2: {{.*}} batch mixed here
// CHECK: op 3: {{.*}} batch mixed here
// CHECK: op 4: {{.*}} batch mixed here
// CHECK: op 5: {{.*}} batch in dim 0
// CHECK: op 6: {{.*}} batch lost here
func.func public @ends(%x: tensor<8x4xf32> {alpa.batch}) -> (tensor<8x8xf32>, tensor<8x4xf32>, tensor<2x4xf32>, tensor<2x4x4xf32>, tensor<8x4xf32>) {
  %t = stablehlo.transpose %x, dims = [1, 0] : (tensor<8x4xf32>) -> tensor<4x8xf32>
  %0:2 = stablehlo.optimization_barrier %x, %t : tensor<8x4xf32>, tensor<4x8xf32>
  %1 = stablehlo.dot_general %0#0, %0#1, contracting_dims = [1] x [0] : (tensor<8x4xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %2 = "stablehlo.sort"(%x) <{dimension = 0 : i64, is_stable = true}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %6 = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %6 : tensor<i1>
  }) : (tensor<8x4xf32>) -> tensor<8x4xf32>
  %3 = stablehlo.slice %x [0:2, 0:4] : (tensor<8x4xf32>) -> tensor<2x4xf32>
  %4 = stablehlo.reshape %x : (tensor<8x4xf32>) -> tensor<2x4x4xf32>
  %5 = stablehlo.custom_call @unheard_of(%x) : (tensor<8x4xf32>) -> tensor<8x4xf32>
  return %1, %2, %3, %4, %5 : tensor<8x8xf32>, tensor<8x4xf32>, tensor<2x4xf32>, tensor<2x4x4xf32>, tensor<8x4xf32>
}

// -----

// Views of a batch side by side, taken apart again, every other example, and zeros between examples.

// CHECK: op 0: {{.*}} batch in dim 0{{$}}
// CHECK: op 1: {{.*}} batch in dim 0{{$}}
// CHECK: op 2: {{.*}} batch in dim 0{{$}}
// CHECK: op 4: {{.*}} batch in dim 0 above 2{{$}}
// CHECK: op 5: {{.*}} batch mixed here
func.func public @views(%x: tensor<8x4xf32> {alpa.batch}, %y: tensor<8x4xf32> {alpa.batch}) -> (tensor<8x4xf32>, tensor<8x4xf32>, tensor<7x4xf32>) {
  %0 = stablehlo.concatenate %x, %y, dim = 0 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<16x4xf32>
  %1 = stablehlo.slice %0 [8:16, 0:4] : (tensor<16x4xf32>) -> tensor<8x4xf32>
  %2 = stablehlo.slice %x [1:8:2, 0:4] : (tensor<8x4xf32>) -> tensor<4x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %3 = stablehlo.pad %2, %zero, low = [1, 0], high = [0, 0], interior = [1, 0] : (tensor<4x4xf32>, tensor<f32>) -> tensor<8x4xf32>
  %4 = stablehlo.slice %x [1:8, 0:4] : (tensor<8x4xf32>) -> tensor<7x4xf32>
  return %1, %3, %4 : tensor<8x4xf32>, tensor<8x4xf32>, tensor<7x4xf32>
}
