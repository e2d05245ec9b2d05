// RUN: alpa-opt %s --alpa-normalize --split-input-file | FileCheck %s

// The example of Passes.td: calls inlined, the constant copied to its two users, the equal sines merged.

// CHECK-LABEL: func.func public @main
// CHECK-NEXT: %[[A:.*]] = stablehlo.constant {alpa.op = 0 : i64} dense<2.000000e+00>
// CHECK-NEXT: %[[AS:.*]] = stablehlo.broadcast_in_dim %[[A]], dims = [] {alpa.op = 1 : i64}
// CHECK-NEXT: %[[SCALED:.*]] = stablehlo.multiply %arg0, %[[AS]] {alpa.op = 2 : i64}
// CHECK-NEXT: %[[SINE:.*]] = stablehlo.sine %[[SCALED]] {alpa.op = 3 : i64}
// CHECK-NEXT: %[[B:.*]] = stablehlo.constant {alpa.op = 4 : i64} dense<2.000000e+00>
// CHECK-NEXT: %[[BS:.*]] = stablehlo.broadcast_in_dim %[[B]], dims = [] {alpa.op = 5 : i64}
// CHECK-NEXT: %[[AGAIN:.*]] = stablehlo.multiply %[[SINE]], %[[BS]] {alpa.op = 6 : i64}
// CHECK-NEXT: %[[SUM:.*]] = stablehlo.add %[[AGAIN]], %[[SINE]] {alpa.op = 7 : i64}
// CHECK-NEXT: return %[[SUM]]
// CHECK-NOT: func.func
func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %unused = stablehlo.cosine %arg0 : tensor<4xf32>
  %0 = func.call @double(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = stablehlo.sine %0 : tensor<4xf32>
  %2 = func.call @double(%1) : (tensor<4xf32>) -> tensor<4xf32>
  %3 = stablehlo.sine %0 : tensor<4xf32>
  %4 = stablehlo.add %2, %3 : tensor<4xf32>
  return %4 : tensor<4xf32>
}
func.func private @double(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %two = stablehlo.constant dense<2.0> : tensor<f32>
  %0 = stablehlo.broadcast_in_dim %two, dims = [] : (tensor<f32>) -> tensor<4xf32>
  %1 = stablehlo.multiply %arg0, %0 : tensor<4xf32>
  return %1 : tensor<4xf32>
}

// -----

// Attributes of the public function's arguments and results, meshes and user constraints stay; calls in calls and calls
// of composites go.

// CHECK: sdy.mesh @mesh
// CHECK: @step(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>, tf.aliasing_output = 0 : i32}) -> (tensor<4xf32> {jax.result_info = "result"})
// CHECK-NEXT: %[[C:.*]] = sdy.sharding_constraint %arg0 <@mesh, [{}]> {alpa.op = 0 : i64}
// CHECK-NEXT: %[[S:.*]] = stablehlo.sine %[[C]]
// CHECK-NEXT: return %[[S]]
sdy.mesh @mesh = <["x"=2]>
func.func public @step(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>, tf.aliasing_output = 0 : i32}) -> (tensor<4xf32> {jax.result_info = "result"}) {
  %0 = func.call @outer(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @outer(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = sdy.sharding_constraint %arg0 <@mesh, [{}]> : tensor<4xf32>
  %1 = func.call @inner(%0) : (tensor<4xf32>) -> tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @inner(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.composite "test.sine" %arg0 {decomposition = @sine} : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @sine(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.sine %arg0 : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// Loops and branches stay and their ops are numbered after them; a constant captured by a loop is copied into it.
// Equal ops are merged within a block, never across, so that no loop captures more than before.

// CHECK-LABEL: func.func public @loop
// CHECK: %[[SINE:.*]] = stablehlo.sine %arg0 {alpa.op = 0 : i64}
// CHECK: stablehlo.while
// CHECK-SAME: attributes {alpa.op = [[WHILE:.*]] : i64}
// CHECK-NEXT: cond {
// CHECK-NEXT: %[[LIMIT:.*]] = stablehlo.constant {alpa.op = {{.*}}} dense<3> : tensor<i32>
// CHECK-NEXT: stablehlo.compare LT, %{{.*}}, %[[LIMIT]]
// CHECK: do {
// CHECK-NEXT: %[[STEP:.*]] = stablehlo.constant {alpa.op = {{.*}}} dense<1> : tensor<i32>
// CHECK-NEXT: stablehlo.add %{{.*}}, %[[STEP]]
// CHECK-NEXT: %[[INSIDE:.*]] = stablehlo.sine %arg0
// CHECK-NEXT: stablehlo.add %{{.*}}, %[[INSIDE]]
// CHECK-NEXT: stablehlo.return
// CHECK: stablehlo.add %{{.*}}, %[[SINE]]
func.func public @loop(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %three = stablehlo.constant dense<3> : tensor<i32>
  %0 = stablehlo.sine %arg0 : tensor<4xf32>
  %1:2 = stablehlo.while(%i = %zero, %x = %arg0) : tensor<i32>, tensor<4xf32>
  cond {
    %2 = stablehlo.compare LT, %i, %three : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %2 : tensor<i1>
  } do {
    %2 = stablehlo.add %i, %one : tensor<i32>
    %3 = func.call @step(%x, %arg0) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    stablehlo.return %2, %3 : tensor<i32>, tensor<4xf32>
  }
  %4 = stablehlo.add %1#1, %0 : tensor<4xf32>
  return %4 : tensor<4xf32>
}
func.func private @step(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.sine %arg1 : tensor<4xf32>
  %1 = stablehlo.add %arg0, %0 : tensor<4xf32>
  return %1 : tensor<4xf32>
}

// -----

// Kept although unused or equal: custom calls with side effects, functions they name, and barriers, which keep
// recomputed values apart.

// CHECK-LABEL: func.func public @effects
// CHECK-COUNT-2: stablehlo.optimization_barrier
// CHECK: stablehlo.custom_call @print
// CHECK-NOT: stablehlo.custom_call @pure
// CHECK: func.func private @callback
func.func public @effects(%arg0: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = stablehlo.optimization_barrier %arg0 : tensor<4xf32>
  %1 = stablehlo.optimization_barrier %arg0 : tensor<4xf32>
  stablehlo.custom_call @print(%0) {called_computations = [@callback], has_side_effect = true} : (tensor<4xf32>) -> ()
  %2 = stablehlo.custom_call @pure(%0) {has_side_effect = false} : (tensor<4xf32>) -> tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}
func.func private @callback(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}

// -----

// A table larger than 1 KiB is not copied, a small one is.

// CHECK-LABEL: func.func public @tables
// CHECK-COUNT-3: stablehlo.constant
// CHECK-NOT: stablehlo.constant
func.func public @tables(%arg0: tensor<300xf32>, %arg1: tensor<2xf32>) -> (tensor<300xf32>, tensor<300xf32>, tensor<2xf32>, tensor<2xf32>) {
  %0 = stablehlo.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 27.0, 28.0, 29.0, 30.0, 31.0, 32.0, 33.0, 34.0, 35.0, 36.0, 37.0, 38.0, 39.0, 40.0, 41.0, 42.0, 43.0, 44.0, 45.0, 46.0, 47.0, 48.0, 49.0, 50.0, 51.0, 52.0, 53.0, 54.0, 55.0, 56.0, 57.0, 58.0, 59.0, 60.0, 61.0, 62.0, 63.0, 64.0, 65.0, 66.0, 67.0, 68.0, 69.0, 70.0, 71.0, 72.0, 73.0, 74.0, 75.0, 76.0, 77.0, 78.0, 79.0, 80.0, 81.0, 82.0, 83.0, 84.0, 85.0, 86.0, 87.0, 88.0, 89.0, 90.0, 91.0, 92.0, 93.0, 94.0, 95.0, 96.0, 97.0, 98.0, 99.0, 100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0, 107.0, 108.0, 109.0, 110.0, 111.0, 112.0, 113.0, 114.0, 115.0, 116.0, 117.0, 118.0, 119.0, 120.0, 121.0, 122.0, 123.0, 124.0, 125.0, 126.0, 127.0, 128.0, 129.0, 130.0, 131.0, 132.0, 133.0, 134.0, 135.0, 136.0, 137.0, 138.0, 139.0, 140.0, 141.0, 142.0, 143.0, 144.0, 145.0, 146.0, 147.0, 148.0, 149.0, 150.0, 151.0, 152.0, 153.0, 154.0, 155.0, 156.0, 157.0, 158.0, 159.0, 160.0, 161.0, 162.0, 163.0, 164.0, 165.0, 166.0, 167.0, 168.0, 169.0, 170.0, 171.0, 172.0, 173.0, 174.0, 175.0, 176.0, 177.0, 178.0, 179.0, 180.0, 181.0, 182.0, 183.0, 184.0, 185.0, 186.0, 187.0, 188.0, 189.0, 190.0, 191.0, 192.0, 193.0, 194.0, 195.0, 196.0, 197.0, 198.0, 199.0, 200.0, 201.0, 202.0, 203.0, 204.0, 205.0, 206.0, 207.0, 208.0, 209.0, 210.0, 211.0, 212.0, 213.0, 214.0, 215.0, 216.0, 217.0, 218.0, 219.0, 220.0, 221.0, 222.0, 223.0, 224.0, 225.0, 226.0, 227.0, 228.0, 229.0, 230.0, 231.0, 232.0, 233.0, 234.0, 235.0, 236.0, 237.0, 238.0, 239.0, 240.0, 241.0, 242.0, 243.0, 244.0, 245.0, 246.0, 247.0, 248.0, 249.0, 250.0, 251.0, 252.0, 253.0, 254.0, 255.0, 256.0, 257.0, 258.0, 259.0, 260.0, 261.0, 262.0, 263.0, 264.0, 265.0, 266.0, 267.0, 268.0, 269.0, 270.0, 271.0, 272.0, 273.0, 274.0, 275.0, 276.0, 277.0, 278.0, 279.0, 280.0, 281.0, 282.0, 283.0, 284.0, 285.0, 286.0, 287.0, 288.0, 289.0, 290.0, 291.0, 292.0, 293.0, 294.0, 295.0, 296.0, 297.0, 298.0, 299.0]> : tensor<300xf32>
  %1 = stablehlo.add %arg0, %0 : tensor<300xf32>
  %2 = stablehlo.multiply %arg0, %0 : tensor<300xf32>
  %3 = stablehlo.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %4 = stablehlo.add %arg1, %3 : tensor<2xf32>
  %5 = stablehlo.multiply %arg1, %3 : tensor<2xf32>
  return %1, %2, %4, %5 : tensor<300xf32>, tensor<300xf32>, tensor<2xf32>, tensor<2xf32>
}

// -----

// A start that may be out of range is clamped, one that cannot be is not: a constant, a counter, an index that a clamp or a
// remainder keeps in range. A start that has no choice is 0.

// CHECK-LABEL: func.func public @starts
// CHECK-DAG: %[[LAST:.*]] = stablehlo.constant {{.*}}dense<5> : tensor<i32>
// CHECK: %[[START:.*]] = stablehlo.clamp %{{.*}}, %arg1, %[[LAST]]
// CHECK-NEXT: %[[ZERO:.*]] = stablehlo.constant {{.*}}dense<0> : tensor<i32>
// CHECK-NEXT: %[[PART:.*]] = stablehlo.dynamic_slice %arg0, %[[START]], %[[ZERO]]
// CHECK-NOT: stablehlo.clamp
// CHECK: stablehlo.while
// CHECK-NOT: stablehlo.clamp
// CHECK: stablehlo.dynamic_slice
// CHECK: stablehlo.dynamic_update_slice
// CHECK: return
func.func public @starts(%arg0: tensor<8x4xf32>, %arg1: tensor<i32>) -> (tensor<3x4xf32>, tensor<3x4xf32>) {
  %0 = stablehlo.dynamic_slice %arg0, %arg1, %arg1, sizes = [3, 4] : (tensor<8x4xf32>, tensor<i32>, tensor<i32>) -> tensor<3x4xf32>
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %1:3 = stablehlo.while(%i = %zero, %part = %0, %all = %arg0) : tensor<i32>, tensor<3x4xf32>, tensor<8x4xf32>
  cond {
    %three = stablehlo.constant dense<3> : tensor<i32>
    %2 = stablehlo.compare LT, %i, %three : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %2 : tensor<i1>
  } do {
    %none = stablehlo.constant dense<0> : tensor<i32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %two = stablehlo.constant dense<2> : tensor<i32>
    %four = stablehlo.constant dense<4> : tensor<i32>
    // As JAX writes an index that may count from the end.
    %isBehind = stablehlo.compare LT, %i, %none : (tensor<i32>, tensor<i32>) -> tensor<i1>
    %fromEnd = stablehlo.add %i, %four : tensor<i32>
    %2 = stablehlo.select %isBehind, %fromEnd, %i : tensor<i1>, tensor<i32>
    %3 = stablehlo.multiply %2, %two : tensor<i32>
    %4 = stablehlo.dynamic_slice %all, %3, %none, sizes = [3, 4] : (tensor<8x4xf32>, tensor<i32>, tensor<i32>) -> tensor<3x4xf32>
    %5 = stablehlo.add %4, %part : tensor<3x4xf32>
    %6 = stablehlo.dynamic_update_slice %all, %5, %two, %none : (tensor<8x4xf32>, tensor<3x4xf32>, tensor<i32>, tensor<i32>) -> tensor<8x4xf32>
    %7 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %7, %5, %6 : tensor<i32>, tensor<3x4xf32>, tensor<8x4xf32>
  }
  return %0, %1#1 : tensor<3x4xf32>, tensor<3x4xf32>
}

// -----

// The counter of this loop goes too far: the last part is clamped.

// CHECK-LABEL: func.func public @last_part
// CHECK: stablehlo.clamp
// CHECK: stablehlo.dynamic_slice
func.func public @last_part(%arg0: tensor<8xf32>, %arg1: tensor<3xf32>) -> tensor<3xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %1:2 = stablehlo.while(%i = %zero, %part = %arg1) : tensor<i32>, tensor<3xf32>
  cond {
    %four = stablehlo.constant dense<4> : tensor<i32>
    %2 = stablehlo.compare LT, %i, %four : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %2 : tensor<i1>
  } do {
    %two = stablehlo.constant dense<2> : tensor<i32>
    %3 = stablehlo.multiply %i, %two : tensor<i32>
    %4 = stablehlo.dynamic_slice %arg0, %3, sizes = [3] : (tensor<8xf32>, tensor<i32>) -> tensor<3xf32>
    %5 = stablehlo.add %4, %part : tensor<3xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %6 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %6, %5 : tensor<i32>, tensor<3xf32>
  }
  return %1#1 : tensor<3xf32>
}

// -----

// A gather of one window is a slice, a gather of several is not.

// CHECK-LABEL: func.func public @windows
// CHECK: %[[LAST:.*]] = stablehlo.constant {{.*}}dense<[5, 3]> : tensor<2xi32>
// CHECK: stablehlo.clamp %{{.*}}, %arg1, %[[LAST]]
// CHECK-NOT: stablehlo.clamp
func.func public @windows(%arg0: tensor<8x4xf32>, %arg1: tensor<2xi32>, %arg2: tensor<5x1xi32>) -> (tensor<3xf32>, tensor<5x4xf32>) {
  %0 = "stablehlo.gather"(%arg0, %arg1) {dimension_numbers = #stablehlo.gather<offset_dims = [0], collapsed_slice_dims = [1], start_index_map = [0, 1], index_vector_dim = 0>, slice_sizes = array<i64: 3, 1>} : (tensor<8x4xf32>, tensor<2xi32>) -> tensor<3xf32>
  %1 = "stablehlo.gather"(%arg0, %arg2) {dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 4>} : (tensor<8x4xf32>, tensor<5x1xi32>) -> tensor<5x4xf32>
  return %0, %1 : tensor<3xf32>, tensor<5x4xf32>
}

// -----

// Element y[i] of row i: the rows are walked along with the indices. The same of the scatter that is its gradient. A
// conversion to the type it has is none.

// CHECK-LABEL: @elements_of_rows
// CHECK: %[[Y:.*]] = stablehlo.broadcast_in_dim %arg1
// CHECK: stablehlo.gather"(%arg0, %[[Y]]) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [1], operand_batching_dims = [0], start_indices_batching_dims = [0], start_index_map = [1], index_vector_dim = 1>
// CHECK: stablehlo.scatter"(%arg0, %[[Y]], {{.*}}) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [1], input_batching_dims = [0], scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [1], index_vector_dim = 1>
func.func public @elements_of_rows(%x: tensor<8x6xf32>, %y: tensor<8xi32>) -> (tensor<8xf32>, tensor<8x6xf32>) {
  %rows = stablehlo.iota dim = 0 : tensor<8xi32>
  %0 = stablehlo.convert %rows : tensor<8xi32>
  %1 = stablehlo.broadcast_in_dim %0, dims = [0] : (tensor<8xi32>) -> tensor<8x1xi32>
  %2 = stablehlo.broadcast_in_dim %y, dims = [0] : (tensor<8xi32>) -> tensor<8x1xi32>
  %3 = stablehlo.concatenate %1, %2, dim = 1 : (tensor<8x1xi32>, tensor<8x1xi32>) -> tensor<8x2xi32>
  %4 = "stablehlo.gather"(%x, %3) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0, 1], start_index_map = [0, 1], index_vector_dim = 1>, slice_sizes = array<i64: 1, 1>}> : (tensor<8x6xf32>, tensor<8x2xi32>) -> tensor<8xf32>
  %5 = "stablehlo.scatter"(%x, %3, %4) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0, 1], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %6 = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %6 : tensor<f32>
  }) : (tensor<8x6xf32>, tensor<8x2xi32>, tensor<8xf32>) -> tensor<8x6xf32>
  return %4, %5 : tensor<8xf32>, tensor<8x6xf32>
}

// -----

// One by one, in pieces of the batch and back: in the first shape at once. What else reads the pieces needs them.

// CHECK-LABEL: @pieces
// CHECK-NOT: stablehlo.reshape
// CHECK: %[[TWO:.*]] = stablehlo.constant {{.*}} : tensor<8x3xf32>
// CHECK: %[[TWICE:.*]] = stablehlo.multiply %arg0, %[[TWO]]
// CHECK: stablehlo.add %[[TWICE]], %arg1
// CHECK-NOT: stablehlo.reshape
// CHECK: return
func.func public @pieces(%x: tensor<8x3xf32>, %y: tensor<8x3xf32>) -> tensor<8x3xf32> {
  %0 = stablehlo.reshape %x : (tensor<8x3xf32>) -> tensor<4x2x3xf32>
  %1 = stablehlo.reshape %y : (tensor<8x3xf32>) -> tensor<4x2x3xf32>
  %two = stablehlo.constant dense<2.0> : tensor<4x2x3xf32>
  %2 = stablehlo.multiply %0, %two : tensor<4x2x3xf32>
  %3 = stablehlo.add %2, %1 : tensor<4x2x3xf32>
  %4 = stablehlo.reshape %3 : (tensor<4x2x3xf32>) -> tensor<8x3xf32>
  return %4 : tensor<8x3xf32>
}

// -----

// CHECK-LABEL: @pieces_that_are_read
// CHECK-COUNT-2: stablehlo.reshape
func.func public @pieces_that_are_read(%x: tensor<8x3xf32>, %last: tensor<4x3xf32>) -> (tensor<8x3xf32>, tensor<4x2x3xf32>) {
  %0 = stablehlo.reshape %x : (tensor<8x3xf32>) -> tensor<4x2x3xf32>
  %1 = stablehlo.sine %0 : tensor<4x2x3xf32>
  %2 = stablehlo.reshape %1 : (tensor<4x2x3xf32>) -> tensor<8x3xf32>
  return %2, %1 : tensor<8x3xf32>, tensor<4x2x3xf32>
}

// -----

// What is moved and moved back stays where it was; turning the same way twice is something else.

// CHECK-LABEL: @back_again
// CHECK-NEXT: %[[TURNED:.*]] = stablehlo.transpose %arg0, dims = [1, 2, 0] {{.*}}: (tensor<8x3x2xf32>) -> tensor<3x2x8xf32>
// CHECK-NEXT: %[[TWICE:.*]] = stablehlo.transpose %[[TURNED]], dims = [1, 2, 0] {{.*}}: (tensor<3x2x8xf32>) -> tensor<2x8x3xf32>
// CHECK-NEXT: return %arg0, %[[TWICE]]
func.func public @back_again(%x: tensor<8x3x2xf32>) -> (tensor<8x3x2xf32>, tensor<2x8x3xf32>) {
  %0 = stablehlo.transpose %x, dims = [1, 2, 0] : (tensor<8x3x2xf32>) -> tensor<3x2x8xf32>
  %1 = stablehlo.reshape %0 : (tensor<3x2x8xf32>) -> tensor<48xf32>
  %2 = stablehlo.reshape %1 : (tensor<48xf32>) -> tensor<3x2x8xf32>
  %3 = stablehlo.transpose %2, dims = [2, 0, 1] : (tensor<3x2x8xf32>) -> tensor<8x3x2xf32>
  %4 = stablehlo.transpose %0, dims = [1, 2, 0] : (tensor<3x2x8xf32>) -> tensor<2x8x3xf32>
  return %3, %4 : tensor<8x3x2xf32>, tensor<2x8x3xf32>
}

// -----

// What is made for an op of a phase belongs to the phase.

// CHECK-LABEL: @pieces_of_a_phase
// CHECK: stablehlo.constant {{.*}}alpa.phase = "backward"{{.*}} : tensor<8x3xf32>
// CHECK: stablehlo.multiply {{.*}}alpa.phase = "backward"{{.*}} : tensor<8x3xf32>
// CHECK: stablehlo.constant {{.*}}alpa.phase = "backward"{{.*}} : tensor<8x3xf32>
// CHECK-NOT: stablehlo.reshape
// CHECK: return
func.func public @pieces_of_a_phase(%x: tensor<8x3xf32>) -> tensor<8x3xf32> {
  %0 = stablehlo.reshape %x {alpa.phase = "backward"} : (tensor<8x3xf32>) -> tensor<4x2x3xf32>
  %two = stablehlo.constant {alpa.phase = "backward"} dense<2.0> : tensor<4x2x3xf32>
  %1 = stablehlo.multiply %0, %two {alpa.phase = "backward"} : tensor<4x2x3xf32>
  %three = stablehlo.constant {alpa.phase = "backward"} dense<3.0> : tensor<4x2x3xf32>
  %2 = stablehlo.add %1, %three {alpa.phase = "backward"} : tensor<4x2x3xf32>
  %3 = stablehlo.reshape %2 {alpa.phase = "backward"} : (tensor<4x2x3xf32>) -> tensor<8x3xf32>
  return %3 : tensor<8x3xf32>
}
