// RUN: alpa-opt %s --sdy-populate-op-sharding-rules --alpa-split-microbatches=num-microbatches=2 --split-input-file | FileCheck %s

// CHECK-LABEL: func.func public @main(%arg0: tensor<8xf32> {alpa.batch}) -> tensor<f32>
// CHECK: stablehlo.while
// CHECK: %[[START:.*]] = stablehlo.multiply
// CHECK: %[[PART:.*]] = stablehlo.dynamic_slice %arg0, %[[START]], sizes = [4]
// CHECK: func.call @microbatch(%[[PART]], %{{.*}}) : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
// CHECK: call @update
// CHECK: func.func private @microbatch(%arg0: tensor<4xf32> {alpa.argument = 0 : i64, alpa.batch, alpa.batch_dim = array<i64: 0, 8, 1>, alpa.role = "batch"}, %arg1: tensor<f32> {alpa.accumulator = 0 : i64}) -> (tensor<f32> {alpa.accumulate = "add", alpa.accumulator = 0 : i64})
// CHECK: exponential %arg0 : tensor<4xf32>
// CHECK: reduce{{.*}}(tensor<4xf32>, tensor<f32>) -> tensor<f32>
// CHECK: add %arg1
// CHECK: func.func private @update(%arg0: tensor<f32> {alpa.accumulator = 0 : i64}) -> (tensor<f32> {alpa.result = 0 : i64})
// CHECK-NEXT: sqrt %arg0
func.func public @main(%x: tensor<8xf32> {alpa.batch}) -> tensor<f32> {
  %0 = stablehlo.exponential %x : tensor<8xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  %2 = stablehlo.sqrt %1 : tensor<f32>
  return %2 : tensor<f32>
}

// -----

// A value per example goes out, transposed. A mask from iota is made for the microbatch alone, by its number; noise that
// comes in whole is sliced. A slice of another dim follows the batch; the batch folded into another dim stays there.

// CHECK-LABEL: func.func public @main
// CHECK: dynamic_update_slice %{{.*}} : (tensor<4x8xf32>, tensor<4x4xf32>,
// CHECK: func.func private @microbatch(%[[I:.*]]: tensor<i32> {alpa.microbatch = 2 : i64}, %{{.*}}: tensor<4x4xf32> {{.*}}, %[[NOISE:.*]]: tensor<8x4xf32> {alpa.argument = 1 : i64, alpa.role = "other"}) -> (tensor<4x4xf32> {alpa.batch_dim = array<i64: 1, 8, 1>, alpa.result = 0 : i64}, tensor<4x2xf32> {alpa.batch_dim = array<i64: 0, 8, 1>, alpa.result = 1 : i64})
// CHECK-DAG: stablehlo.iota dim = 0 {{.*}}: tensor<4x4xf32>
// CHECK-DAG: stablehlo.dynamic_slice %[[NOISE]], {{.*}}, sizes = [4, 4]
// CHECK: reshape {{.*}} : (tensor<4x4xf32>) -> tensor<16xf32>
// CHECK: slice {{.*}} [0:4, 1:3]
func.func public @main(%x: tensor<8x4xf32> {alpa.batch}, %noise: tensor<8x4xf32>) -> (tensor<4x8xf32>, tensor<8x2xf32>) {
  %mask = stablehlo.iota dim = 0 : tensor<8x4xf32>
  %0 = stablehlo.multiply %x, %mask : tensor<8x4xf32>
  %1 = stablehlo.add %0, %noise : tensor<8x4xf32>
  %2 = stablehlo.reshape %1 : (tensor<8x4xf32>) -> tensor<32xf32>
  %3 = stablehlo.exponential %2 : tensor<32xf32>
  %4 = stablehlo.reshape %3 : (tensor<32xf32>) -> tensor<8x4xf32>
  %5 = stablehlo.transpose %4, dims = [1, 0] : (tensor<8x4xf32>) -> tensor<4x8xf32>
  %6 = stablehlo.slice %4 [0:8, 1:3] : (tensor<8x4xf32>) -> tensor<8x2xf32>
  return %5, %6 : tensor<4x8xf32>, tensor<8x2xf32>
}

// -----

// The prologue makes the count that every example is divided by.

// CHECK-LABEL: func.func public @main
// CHECK: %[[COUNT:.*]] = call @prologue
// CHECK: func.call @microbatch({{.*}}%[[COUNT]]
// CHECK: func.func private @prologue({{.*}}) -> (tensor<f32> {alpa.prologue = 0 : i64})
// CHECK: func.func private @microbatch({{.*}}tensor<f32> {alpa.prologue = 0 : i64}, {{.*}}alpa.accumulator = 0
// CHECK: broadcast_in_dim {{.*}}(tensor<f32>) -> tensor<4xf32>
func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<f32>) -> tensor<f32> {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %count = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  %0 = stablehlo.broadcast_in_dim %count, dims = [] : (tensor<f32>) -> tensor<8xf32>
  %1 = stablehlo.broadcast_in_dim %w, dims = [] : (tensor<f32>) -> tensor<8xf32>
  %2 = stablehlo.multiply %x, %1 : tensor<8xf32>
  %3 = stablehlo.divide %2, %0 : tensor<8xf32>
  %zero_0 = stablehlo.constant dense<0.0> : tensor<f32>
  %4 = stablehlo.reduce(%3 init: %zero_0) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  return %4 : tensor<f32>
}

// -----

// What decides a branch, and comes from the batch alone, is computed before, over all examples.

// CHECK-LABEL: func.func public @main
// CHECK: %[[LARGEST:.*]] = call @prologue
// CHECK: func.call @microbatch({{.*}}%[[LARGEST]]
// CHECK: func.func private @prologue(%{{.*}}: tensor<8xf32> {{.*}}) -> (tensor<f32> {alpa.prologue = 0 : i64})
// CHECK: reduce{{.*}} applies stablehlo.maximum
// CHECK: func.func private @microbatch(%{{.*}}: tensor<4xf32> {{.*}}, %[[OF_ALL:.*]]: tensor<f32> {alpa.prologue = 0 : i64}
// CHECK: %[[TAKEN:.*]] = stablehlo.compare GT, %[[OF_ALL]]
// CHECK: "stablehlo.if"(%[[TAKEN]])
func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<f32>) -> tensor<8xf32> {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %lowest = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %largest = stablehlo.reduce(%x init: %lowest) applies stablehlo.maximum across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  %taken = stablehlo.compare GT, %largest, %zero : (tensor<f32>, tensor<f32>) -> tensor<i1>
  %0 = stablehlo.broadcast_in_dim %w, dims = [] : (tensor<f32>) -> tensor<8xf32>
  %1 = stablehlo.multiply %x, %0 : tensor<8xf32>
  %2 = "stablehlo.if"(%taken) ({
    %3 = stablehlo.sine %1 : tensor<8xf32>
    stablehlo.return %3 : tensor<8xf32>
  }, {
    stablehlo.return %1 : tensor<8xf32>
  }) : (tensor<i1>) -> tensor<8xf32>
  return %2 : tensor<8xf32>
}

// -----

// A loop over examples that end together, before any weight: it runs before, and a microbatch takes its part of the result.

// CHECK-LABEL: func.func public @main
// CHECK: func.func private @prologue(%{{.*}}: tensor<8xf32> {{.*}}) -> (tensor<8xf32> {alpa.prologue = 0 : i64})
// CHECK: stablehlo.while
// CHECK: func.func private @microbatch(%[[I:.*]]: tensor<i32> {{.*}}, %{{.*}}: tensor<f32> {{.*}}, %[[ALL:.*]]: tensor<8xf32> {alpa.prologue = 0 : i64})
// CHECK-NOT: stablehlo.while
// CHECK: stablehlo.dynamic_slice %[[ALL]], %{{.*}}, sizes = [4]
func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<f32>) -> tensor<8xf32> {
  %0 = stablehlo.while(%z = %x) : tensor<8xf32>
  cond {
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %one = stablehlo.constant dense<1.0> : tensor<f32>
    %1 = stablehlo.reduce(%z init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %2 = stablehlo.compare GT, %1, %one : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %2 : tensor<i1>
  } do {
    %1 = stablehlo.tanh %z : tensor<8xf32>
    stablehlo.return %1 : tensor<8xf32>
  }
  %1 = stablehlo.broadcast_in_dim %w, dims = [] : (tensor<f32>) -> tensor<8xf32>
  %2 = stablehlo.multiply %0, %1 : tensor<8xf32>
  return %2 : tensor<8xf32>
}

// -----

// What jax.vmap makes of a loop ends when the last example is done, and leaves those that are done alone: a microbatch ends
// by itself.

// CHECK-LABEL: func.func public @main
// CHECK-NOT: @prologue
// CHECK: func.func private @microbatch
// CHECK: stablehlo.while({{.*}}) : tensor<4xf32>, tensor<f32>
// CHECK: reduce{{.*}} applies stablehlo.or {{.*}} (tensor<4xi1>, tensor<i1>) -> tensor<i1>
func.func public @main(%x: tensor<8xf32> {alpa.batch}, %w: tensor<f32>) -> tensor<8xf32> {
  %0 = stablehlo.broadcast_in_dim %w, dims = [] : (tensor<f32>) -> tensor<8xf32>
  %1 = stablehlo.multiply %x, %0 : tensor<8xf32>
  %2:2 = stablehlo.while(%z = %1, %v = %w) : tensor<8xf32>, tensor<f32>
  cond {
    %ones = stablehlo.constant dense<1.0> : tensor<8xf32>
    %false = stablehlo.constant dense<false> : tensor<i1>
    %3 = stablehlo.compare GT, %z, %ones : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xi1>
    %4 = stablehlo.reduce(%3 init: %false) applies stablehlo.or across dimensions = [0] : (tensor<8xi1>, tensor<i1>) -> tensor<i1>
    stablehlo.return %4 : tensor<i1>
  } do {
    %ones = stablehlo.constant dense<1.0> : tensor<8xf32>
    %3 = stablehlo.compare GT, %z, %ones : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xi1>
    %4 = stablehlo.broadcast_in_dim %v, dims = [] : (tensor<f32>) -> tensor<8xf32>
    %5 = stablehlo.multiply %z, %4 : tensor<8xf32>
    %6 = stablehlo.select %3, %5, %z : tensor<8xi1>, tensor<8xf32>
    stablehlo.return %6, %v : tensor<8xf32>, tensor<f32>
  }
  return %2#0 : tensor<8xf32>
}

// -----

// What is added up over examples in 16 bits is added up in 32, in every microbatch: a sum of widened values, a scatter of
// widened updates. The update rounds once.

// CHECK-LABEL: func.func public @main(%arg0: tensor<8x6xbf16> {alpa.batch}, %arg1: tensor<8x1xi32> {alpa.batch})
// CHECK: func.func private @microbatch
// CHECK: %[[WIDE:.*]] = stablehlo.convert %{{.*}} : (tensor<4x6xbf16>) -> tensor<4x6xf32>
// CHECK: %[[BIAS:.*]] = stablehlo.reduce(%[[WIDE]] init: %{{.*}}) applies stablehlo.add across dimensions = [0] : (tensor<4x6xf32>, tensor<f32>) -> tensor<6xf32>
// CHECK: %[[ROWS:.*]] = stablehlo.convert %{{.*}} : (tensor<4x6xbf16>) -> tensor<4x6xf32>
// CHECK: %[[TABLE:.*]] = "stablehlo.scatter"(%{{.*}}, %{{.*}}, %[[ROWS]])
// CHECK: ^bb0(%[[A:.*]]: tensor<f32>, %[[B:.*]]: tensor<f32>):
// CHECK-NEXT: stablehlo.add %{{.*}}, %{{.*}} : tensor<f32>
// CHECK: (tensor<9x6xf32>, tensor<4x1xi32>, tensor<4x6xf32>) -> tensor<9x6xf32>
// CHECK: stablehlo.add %{{.*}}, %[[BIAS]] {{.*}}: tensor<6xf32>
// CHECK: stablehlo.add %{{.*}}, %[[TABLE]] {{.*}}: tensor<9x6xf32>
// CHECK: func.func private @update
// CHECK-DAG: stablehlo.convert %arg0 : (tensor<6xf32>) -> tensor<6xbf16>
// CHECK-DAG: stablehlo.convert %arg1 : (tensor<9x6xf32>) -> tensor<9x6xbf16>
func.func public @main(%x: tensor<8x6xbf16> {alpa.batch}, %ids: tensor<8x1xi32> {alpa.batch}) -> (tensor<6xbf16>, tensor<9x6xbf16>) {
  %0 = stablehlo.tanh %x : tensor<8x6xbf16>
  %zero = stablehlo.constant dense<0.0> : tensor<bf16>
  %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8x6xbf16>, tensor<bf16>) -> tensor<6xbf16>
  %zeros = stablehlo.constant dense<0.0> : tensor<9x6xbf16>
  %2 = "stablehlo.scatter"(%zeros, %ids, %0) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
  ^bb0(%a: tensor<bf16>, %b: tensor<bf16>):
    %3 = stablehlo.add %a, %b : tensor<bf16>
    stablehlo.return %3 : tensor<bf16>
  }) : (tensor<9x6xbf16>, tensor<8x1xi32>, tensor<8x6xbf16>) -> tensor<9x6xbf16>
  return %1, %2 : tensor<6xbf16>, tensor<9x6xbf16>
}

// -----

// A product has 32 bits at once. A convolution rounds to 16, which its sum need not know.

// CHECK-LABEL: func.func public @main(%arg0: tensor<8x6xbf16> {alpa.batch}, %arg1: tensor<8x7x2xbf16> {alpa.batch})
// CHECK: func.func private @microbatch
// CHECK: dot_general {{.*}} : (tensor<4x6xbf16>, tensor<4x6xbf16>) -> tensor<6x6xf32>
// CHECK: convolution({{.*}}alpa.rounds_to = bf16{{.*}} -> tensor<3x2x2xf32>
func.func public @main(%x: tensor<8x6xbf16> {alpa.batch}, %y: tensor<8x7x2xbf16> {alpa.batch}) -> (tensor<6x6xbf16>, tensor<3x2x2xbf16>) {
  %0 = stablehlo.dot_general %x, %x, contracting_dims = [0] x [0] : (tensor<8x6xbf16>, tensor<8x6xbf16>) -> tensor<6x6xbf16>
  %1 = stablehlo.convolution(%y, %y) dim_numbers = [f, 0, b]x[i, 0, o]->[0, b, f], window = {pad = [[1, 1]]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<8x7x2xbf16>, tensor<8x7x2xbf16>) -> tensor<3x2x2xbf16>
  return %0, %1 : tensor<6x6xbf16>, tensor<3x2x2xbf16>
}
