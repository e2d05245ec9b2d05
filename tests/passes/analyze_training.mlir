// RUN: alpa-opt %s --sdy-populate-op-sharding-rules --alpa-analyze-training --split-input-file 2>%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK <%t

// REMARK: remark: forward: 5 ops
// REMARK: remark: backward: 3 ops
// REMARK: remark: update: 1 op,
// REMARK: microbatches combine by add: loss or metric, 'tensor<f32>'
// REMARK: microbatches combine by add: gradient of argument 0, 'tensor<4xf32>'

// CHECK-LABEL: @main
// CHECK-SAME: %arg0: tensor<4xf32> {alpa.role = "parameter", alpa.state = 0 : i64}
// CHECK-SAME: %arg1: tensor<8x4xf32> {alpa.batch, alpa.role = "batch"}
// CHECK: exponential {{.*}}alpa.phase = "forward"
// CHECK: across dimensions = [0, 1] {alpa.accumulate = ["add"], alpa.phase = "forward"
// CHECK: multiply {{.*}}alpa.phase = "backward"
// CHECK: across dimensions = [0] {alpa.accumulate = ["add"], alpa.gradient_of = [0], alpa.phase = "backward"
// CHECK: subtract {{.*}}alpa.phase = "update"
func.func public @main(%w: tensor<4xf32> {alpa.state = 0 : i64}, %x: tensor<8x4xf32> {alpa.batch}) -> (tensor<4xf32>, tensor<f32>) {
  %0 = stablehlo.broadcast_in_dim %w, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %1 = stablehlo.multiply %0, %x : tensor<8x4xf32>
  %2 = stablehlo.exponential %1 : tensor<8x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %loss = stablehlo.reduce(%2 init: %zero) applies stablehlo.add across dimensions = [0, 1] : (tensor<8x4xf32>, tensor<f32>) -> tensor<f32>
  %3 = stablehlo.multiply %2, %x : tensor<8x4xf32>
  %zero_0 = stablehlo.constant dense<0.0> : tensor<f32>
  %4 = stablehlo.reduce(%3 init: %zero_0) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  %5 = stablehlo.subtract %w, %4 : tensor<4xf32>
  return %5, %loss : tensor<4xf32>, tensor<f32>
}

// -----

// A loss divided by the number of tokens: the count flows back into the gradient of each example, and comes from the
// batch alone. The update clips two gradients by their common norm: each still belongs to its own parameter.

// REMARK: gradient of argument 1, 'tensor<4xf32>'
// REMARK: gradient of argument 0, 'tensor<4xf32>'
// REMARK: remark: prologue: computed once from the whole batch, every microbatch uses it, 'tensor<f32>'
// CHECK-LABEL: @prologue
// CHECK: reduce{{.*}} across dimensions = [0] {alpa.phase = "prologue"
// CHECK: divide {{.*}}alpa.phase = "forward"
// CHECK-COUNT-2: alpa.gradient_of = [{{[01]}}]
// CHECK: sqrt {{.*}}alpa.phase = "update"
func.func public @prologue(%v: tensor<4xf32> {alpa.state = 0 : i64}, %w: tensor<4xf32> {alpa.state = 1 : i64}, %x: tensor<8x4xf32> {alpa.batch}, %tokens: tensor<8xf32> {alpa.batch}) -> (tensor<4xf32>, tensor<4xf32>) {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %count = stablehlo.reduce(%tokens init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
  %0 = stablehlo.broadcast_in_dim %v, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %1 = stablehlo.broadcast_in_dim %w, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %2 = stablehlo.multiply %0, %x : tensor<8x4xf32>
  %3 = stablehlo.multiply %1, %2 : tensor<8x4xf32>
  %4 = stablehlo.exponential %3 : tensor<8x4xf32>
  %5 = stablehlo.broadcast_in_dim %count, dims = [] : (tensor<f32>) -> tensor<8x4xf32>
  %6 = stablehlo.divide %4, %5 : tensor<8x4xf32>
  %7 = stablehlo.multiply %6, %2 : tensor<8x4xf32>
  %8 = stablehlo.multiply %6, %1 : tensor<8x4xf32>
  %zero_0 = stablehlo.constant dense<0.0> : tensor<f32>
  %dw = stablehlo.reduce(%7 init: %zero_0) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  %zero_1 = stablehlo.constant dense<0.0> : tensor<f32>
  %dv = stablehlo.reduce(%8 init: %zero_1) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  %9 = stablehlo.dot_general %dv, %dw, contracting_dims = [0] x [0] : (tensor<4xf32>, tensor<4xf32>) -> tensor<f32>
  %norm = stablehlo.sqrt %9 : tensor<f32>
  %10 = stablehlo.broadcast_in_dim %norm, dims = [] : (tensor<f32>) -> tensor<4xf32>
  %11 = stablehlo.divide %dv, %10 : tensor<4xf32>
  %12 = stablehlo.divide %dw, %10 : tensor<4xf32>
  %13 = stablehlo.subtract %v, %11 : tensor<4xf32>
  %14 = stablehlo.subtract %w, %12 : tensor<4xf32>
  return %13, %14 : tensor<4xf32>, tensor<4xf32>
}

// -----

// Without parameters to train everything is forward, and results per example are no frontier. A mean over the batch that
// each example is compared with mixes examples.

// REMARK: remark: forward: 7 ops
// REMARK-NOT: remark: {{backward|update|microbatches}}
// REMARK: remark: examples meet in 'stablehlo.reduce': its sum over examples is used for each of them
// CHECK-LABEL: @inference
func.func public @inference(%w: tensor<4xf32>, %v: tensor<4x4xf32>, %x: tensor<8x4xf32> {alpa.batch}) -> tensor<8x4xf32> {
  %0 = stablehlo.broadcast_in_dim %w, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %1 = stablehlo.multiply %0, %x : tensor<8x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %2 = stablehlo.reduce(%1 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  %3 = stablehlo.broadcast_in_dim %2, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %4 = stablehlo.subtract %1, %3 : tensor<8x4xf32>
  %5 = stablehlo.dot_general %4, %v, contracting_dims = [1] x [0] : (tensor<8x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
  return %5 : tensor<8x4xf32>
}

// -----

// The same without more work on the examples: what they make of their mean can wait for the update.

// REMARK: remark: forward: 2 ops
// REMARK: remark: update: 4 ops
// REMARK: remark: microbatches are joined: read by the update
// REMARK-NOT: remark: examples meet
// CHECK-LABEL: @deviations
func.func public @deviations(%w: tensor<4xf32>, %x: tensor<8x4xf32> {alpa.batch}) -> tensor<8x4xf32> {
  %0 = stablehlo.broadcast_in_dim %w, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %1 = stablehlo.multiply %0, %x : tensor<8x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %2 = stablehlo.reduce(%1 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  %3 = stablehlo.broadcast_in_dim %2, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %4 = stablehlo.subtract %1, %3 : tensor<8x4xf32>
  return %4 : tensor<8x4xf32>
}

// -----

// A step without an update returns the gradient itself: it is backward all the same.

// REMARK: gradient of argument 0, 'tensor<4xf32>'
// CHECK-LABEL: @gradients_only
// CHECK-SAME: %arg0: tensor<4xf32> {alpa.gradient = 0 : i64, alpa.role = "parameter"}
// CHECK: exponential {{.*}}alpa.phase = "forward"
// CHECK: multiply {{.*}}alpa.phase = "backward"
// CHECK: across dimensions = [0] {alpa.accumulate = ["add"], alpa.gradient_of = [0], alpa.phase = "backward"
func.func public @gradients_only(%w: tensor<4xf32> {alpa.gradient = 0 : i64}, %x: tensor<8x4xf32> {alpa.batch}) -> (tensor<4xf32>, tensor<f32>) {
  %0 = stablehlo.broadcast_in_dim %w, dims = [1] : (tensor<4xf32>) -> tensor<8x4xf32>
  %1 = stablehlo.multiply %0, %x : tensor<8x4xf32>
  %2 = stablehlo.exponential %1 : tensor<8x4xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %loss = stablehlo.reduce(%2 init: %zero) applies stablehlo.add across dimensions = [0, 1] : (tensor<8x4xf32>, tensor<f32>) -> tensor<f32>
  %3 = stablehlo.multiply %2, %x : tensor<8x4xf32>
  %zero_0 = stablehlo.constant dense<0.0> : tensor<f32>
  %4 = stablehlo.reduce(%3 init: %zero_0) applies stablehlo.add across dimensions = [0] : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  return %4, %loss : tensor<4xf32>, tensor<f32>
}
