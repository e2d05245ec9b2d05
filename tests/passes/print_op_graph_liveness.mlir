// Which values need memory, and when: what the sharding problem is told.
// RUN: alpa-opt %s --alpa-print-op-graph --split-input-file -o /dev/null 2>&1 | FileCheck %s

// Arguments 0 and 2 are given up: they end where they were read for the last time. Argument 1 stays the caller's. The sum
// that only another op reads is computed with it and never reaches memory; what it is made from lives until then.

// CHECK: argument 0: other, 4096 bytes live [0, 1]
// CHECK: argument 1: other, 4096 bytes live [0, 2]
// CHECK: argument 2: other, 4096 bytes live [0, 1]
// CHECK: op 0: {{.*}}; 0 bytes live [0, 1]
// CHECK: op 1: {{.*}}; 4096 bytes live [1, 2]
// CHECK: op 2: {{.*}}; 4096 bytes live [2, 2]
// CHECK: peak of 16384 bytes
func.func public @donated(%a: tensor<1024xf32> {tf.aliasing_output = 0 : i32}, %b: tensor<1024xf32>, %c: tensor<1024xf32> {jax.buffer_donor = true}) -> (tensor<1024xf32>, tensor<1024xf32>) {
  %0 = stablehlo.add %b, %c : tensor<1024xf32>
  %1 = stablehlo.add %a, %0 : tensor<1024xf32>
  %2 = stablehlo.sine %1 : tensor<1024xf32>
  return %1, %2 : tensor<1024xf32>, tensor<1024xf32>
}

// -----

// What a reshape and an update in place make is the buffer of op 0, which lives on; a broadcast constant is none.

// CHECK: op 0: {{.*}}; 4096 bytes live [0, 4]
// CHECK: op 1: {{.*}}; 0 bytes live [1, 4]
// CHECK: op 2: {{.*}}; 0 bytes live [2, 3]
// CHECK: op 3: {{.*}}; 0 bytes live [3, 4]
// CHECK: op 4: {{.*}}; 0 bytes live [4, 4]
// CHECK: peak of 8196 bytes
func.func public @shared(%a: tensor<1024xf32>, %i: tensor<i32>) -> tensor<32x32xf32> {
  %0 = stablehlo.sine %a : tensor<1024xf32>
  %1 = stablehlo.reshape %0 : (tensor<1024xf32>) -> tensor<32x32xf32>
  %2 = stablehlo.constant dense<1.0> : tensor<f32>
  %3 = stablehlo.broadcast_in_dim %2, dims = [] : (tensor<f32>) -> tensor<32x4xf32>
  %4 = stablehlo.dynamic_update_slice %1, %3, %i, %i : (tensor<32x32xf32>, tensor<32x4xf32>, tensor<i32>, tensor<i32>) -> tensor<32x32xf32>
  return %4 : tensor<32x32xf32>
}

// -----

// A loop: what it carries unchanged (%w) is one buffer; what it changes (%y) is the buffer of its result from its
// beginning on, beside what the body makes (op 8). %b, read inside, lives until the loop ends.

// CHECK: op 0: {{.*}}; 4096 bytes live [0, 9]
// CHECK: op 1: {{.*}}; 4096 bytes live [1, 9]
// CHECK: op 2: {{.*}}; 4096 bytes live [2, 3]
// CHECK: op 4: {{.*}}; 4 bytes live [4, 9]; 0 bytes live [4, 9]; 4096 bytes live [4, 9]
// CHECK: op 7: {{.*}}; 0 bytes live [7, 8]
// CHECK: op 8: {{.*}}; 4096 bytes live [8, 9]
func.func public @loop(%a: tensor<1024xf32>) -> (tensor<1024xf32>, tensor<1024xf32>) {
  %w = stablehlo.sine %a : tensor<1024xf32>
  %b = stablehlo.cosine %a : tensor<1024xf32>
  %x = stablehlo.tanh %a : tensor<1024xf32>
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %0:3 = stablehlo.while(%i = %zero, %v = %w, %y = %x) : tensor<i32>, tensor<1024xf32>, tensor<1024xf32>
  cond {
    %limit = stablehlo.constant dense<3> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %limit : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %1 = stablehlo.multiply %y, %v : tensor<1024xf32>
    %2 = stablehlo.add %1, %b : tensor<1024xf32>
    %3 = stablehlo.add %i, %i : tensor<i32>
    stablehlo.return %3, %v, %2 : tensor<i32>, tensor<1024xf32>, tensor<1024xf32>
  }
  return %0#1, %0#2 : tensor<1024xf32>, tensor<1024xf32>
}

// -----

// Spread in each reader anew: op 1 is never stored, nor is what it spreads (op 0). What more than one
// op reads and is made of more than itself (op 2), or an op that cannot take it in (op 4, which a product reads), is stored.

// CHECK: op 0: {{.*}}; 0 bytes live [0, 4]
// CHECK: op 1: {{.*}}; 0 bytes live [1, 4]
// CHECK: op 2: {{.*}}; 4096 bytes live [2, 5]
// CHECK: op 3: {{.*}}; 0 bytes live [3, 4]
// CHECK: op 4: {{.*}}; 4096 bytes live [4, 5]
func.func public @fused(%a: tensor<32xf32>, %b: tensor<32x32xf32>) -> (tensor<32x32xf32>, tensor<32x32xf32>) {
  %0 = stablehlo.sine %a : tensor<32xf32>
  %1 = stablehlo.broadcast_in_dim %0, dims = [0] : (tensor<32xf32>) -> tensor<32x32xf32>
  %2 = stablehlo.multiply %b, %1 : tensor<32x32xf32>
  %3 = stablehlo.add %2, %1 : tensor<32x32xf32>
  %4 = stablehlo.tanh %3 : tensor<32x32xf32>
  %5 = stablehlo.dot_general %4, %b, contracting_dims = [1] x [0] : (tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<32x32xf32>
  return %5, %2 : tensor<32x32xf32>, tensor<32x32xf32>
}

// -----

// The exponential (op 3) has two readers, and each computes it again from the product (op 1): that lives until the last of
// them has, and the conversion and the exponential are never stored. The sum of two arguments (op 7) also has two readers,
// but would take both to compute again: it is stored. What a product reads under another shape (op 10) is, too.

// CHECK: op 1: {{.*}}; 2048 bytes live [1, 6]
// CHECK: op 2: {{.*}}; 0 bytes live [2, 6]
// CHECK: op 3: {{.*}}; 0 bytes live [3, 6]
// CHECK: op 4: {{.*}}; 128 bytes live [4, 6]
// CHECK: op 5: {{.*}}; 0 bytes live [5, 6]
// CHECK: op 7: {{.*}}; 4096 bytes live [7, 9]
// CHECK: op 10: {{.*}}; 4096 bytes live [10, 12]
// CHECK: op 11: {{.*}}; 0 bytes live [11, 12]
func.func public @again(%a: tensor<32x32xbf16>, %b: tensor<32x32xf32>, %c: tensor<32x32xf32>) -> (tensor<32x32xf32>, tensor<32x32xf32>, tensor<32x32xf32>, tensor<1024x1024xf32>) {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %0 = stablehlo.dot_general %a, %a, contracting_dims = [1] x [0] : (tensor<32x32xbf16>, tensor<32x32xbf16>) -> tensor<32x32xbf16>
  %1 = stablehlo.convert %0 : (tensor<32x32xbf16>) -> tensor<32x32xf32>
  %2 = stablehlo.exponential %1 : tensor<32x32xf32>
  %3 = stablehlo.reduce(%2 init: %zero) applies stablehlo.add across dimensions = [1] : (tensor<32x32xf32>, tensor<f32>) -> tensor<32xf32>
  %row = stablehlo.broadcast_in_dim %3, dims = [0] : (tensor<32xf32>) -> tensor<32x32xf32>
  %4 = stablehlo.divide %2, %row : tensor<32x32xf32>
  %5 = stablehlo.add %b, %c : tensor<32x32xf32>
  %6 = stablehlo.sine %5 : tensor<32x32xf32>
  %7 = stablehlo.cosine %5 : tensor<32x32xf32>
  %8 = stablehlo.tanh %b : tensor<32x32xf32>
  %9 = stablehlo.reshape %8 : (tensor<32x32xf32>) -> tensor<1024xf32>
  %10 = stablehlo.dot_general %9, %9, contracting_dims = [] x [] : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024x1024xf32>
  return %4, %6, %7, %10 : tensor<32x32xf32>, tensor<32x32xf32>, tensor<32x32xf32>, tensor<1024x1024xf32>
}

// -----

// There is no buffer of a constant to update in place: one is filled with it first, and the scatter's result lies there.

// CHECK: op 2: {{.*}} writes 4128 bytes{{.*}}; 4096 bytes live
// CHECK: op 3: {{.*}} writes 32 bytes{{.*}}; 0 bytes live
func.func public @filled(%rows: tensor<8x1xi32>, %values: tensor<8xf32>) -> tensor<8x128xf32> {
  %0 = stablehlo.constant dense<0.0> : tensor<f32>
  %zeros = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<8x128xf32>
  %1 = "stablehlo.scatter"(%zeros, %rows, %values) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [1], input_batching_dims = [0], scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [1], index_vector_dim = 1>}> ({
  ^bb0(%old: tensor<f32>, %new: tensor<f32>):
    %sum = stablehlo.add %old, %new : tensor<f32>
    stablehlo.return %sum : tensor<f32>
  }) : (tensor<8x128xf32>, tensor<8x1xi32>, tensor<8xf32>) -> tensor<8x128xf32>
  %2 = "stablehlo.scatter"(%1, %rows, %values) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [1], input_batching_dims = [0], scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [1], index_vector_dim = 1>}> ({
  ^bb0(%old: tensor<f32>, %new: tensor<f32>):
    %sum = stablehlo.add %old, %new : tensor<f32>
    stablehlo.return %sum : tensor<f32>
  }) : (tensor<8x128xf32>, tensor<8x1xi32>, tensor<8xf32>) -> tensor<8x128xf32>
  return %2 : tensor<8x128xf32>
}

// -----

// State that is given up is updated as soon as its gradient is there: the update of %v (op 2 of the program) waits for no
// other gradient, so %v and its gradient (op 0) end before the product behind it (op 1) begins. What is returned beside the
// state, or made from what the caller keeps (%k), is made where it stands.

// CHECK: argument 0: {{.*}} 4096 bytes live [0, 1]
// CHECK: op 0: {{.*}}; 4096 bytes live [0, 1]
// CHECK: op 1: {{.*}}; 4096 bytes live [2, 3]
// CHECK: op 2: {{.*}}; 4096 bytes live [1, 3]
// CHECK: op 3: {{.*}}; 4096 bytes live [3, 3]
// CHECK: peak of
func.func public @update(%v: tensor<32x32xf32> {alpa.state = 0 : i64, tf.aliasing_output = 0 : i32}, %k: tensor<32x32xf32> {alpa.state = 1 : i64}, %x: tensor<32x32xf32>) -> (tensor<32x32xf32>, tensor<32x32xf32>, tensor<32x32xf32>) {
  %0 = stablehlo.dot_general %x, %x, contracting_dims = [0] x [0] : (tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<32x32xf32>
  %1 = stablehlo.dot_general %x, %k, contracting_dims = [1] x [0] : (tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<32x32xf32>
  %2 = stablehlo.subtract %v, %0 : tensor<32x32xf32>
  %3 = stablehlo.subtract %k, %1 : tensor<32x32xf32>
  return %2, %3, %1 : tensor<32x32xf32>, tensor<32x32xf32>, tensor<32x32xf32>
}
