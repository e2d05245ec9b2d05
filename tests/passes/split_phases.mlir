// RUN: alpa-opt %s --alpa-split-phases --split-input-file | FileCheck %s

// CHECK: func.func private @forward(%arg0: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "v0"}) -> (tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "stage0.v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64}
// CHECK-NEXT: exponential
// CHECK: func.func private @backward(%arg0: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "stage0.v0"}) -> (tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "v1"}) attributes {alpa.phase = "backward", alpa.stage = 0 : i64}
// CHECK-NEXT: sine
// CHECK-NOT: func.func
func.func public @main(%x: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "v0"}) -> (tensor<4xf32> {alpa.value = "v1"}) {
  %0 = stablehlo.exponential %x {alpa.operands = ["{x}"], alpa.phase = "forward", alpa.results = ["{x}"]} : tensor<4xf32>
  %1 = stablehlo.sine %0 {alpa.operands = ["{x}"], alpa.phase = "backward", alpa.results = ["{x}"]} : tensor<4xf32>
  return %1 : tensor<4xf32>
}


// -----

// State goes out as it came in, whatever its op leaves; rounds of the update are functions of their own.

// CHECK: func.func private @update0(%{{.*}}: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "a0"}) -> (tensor<4xf32> {alpa.sharding = "{}", alpa.value = "stage0.v0"})
// CHECK-SAME: alpa.round = 0 : i64
// CHECK: func.func private @update1(%{{.*}}: tensor<4xf32> {alpa.sharding = "{}", alpa.value = "stage0.v0"}) -> (tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "r0"})
// CHECK-SAME: alpa.round = 1 : i64
func.func public @main(%w: tensor<4xf32> {alpa.sharding = "{x}", alpa.state = 0 : i64, alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "r0"}) {
  %0 = stablehlo.exponential %w {alpa.phase = "update", alpa.results = ["{}"], alpa.round = 0 : i64} : tensor<4xf32>
  %1 = stablehlo.sine %0 {alpa.phase = "update", alpa.results = ["{}"], alpa.round = 1 : i64} : tensor<4xf32>
  return %1 : tensor<4xf32>
}

// -----

// State that a part renews comes first and in the order of its results, in whatever order it is read: XLA pairs donated
// arguments with results so, and copies what it pairs wrongly.

// CHECK: func.func private @update0(%arg0: {{[^)]*}}alpa.value = "a0"}, %arg1: {{[^)]*}}alpa.value = "a1"}, %arg2: {{[^)]*}}alpa.value = "g"}) -> ({{[^,]*}}, alpa.value = "r0"}, {{[^,]*}}, alpa.value = "r1"})
func.func public @main(
    %w: tensor<4xf32> {alpa.sharding = "{x}", alpa.state = 0 : i64, alpa.value = "a0"},
    %m: tensor<4xf32> {alpa.sharding = "{x}", alpa.state = 1 : i64, alpa.value = "a1"},
    %g: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "g"}) -> (tensor<4xf32> {alpa.value = "r0"}, tensor<4xf32> {alpa.value = "r1"}) {
  %0 = stablehlo.add %m, %g {alpa.phase = "update", alpa.results = ["{x}"], alpa.round = 0 : i64} : tensor<4xf32>
  %1 = stablehlo.add %w, %0 {alpa.phase = "update", alpa.results = ["{x}"], alpa.round = 0 : i64} : tensor<4xf32>
  return %1, %0 : tensor<4xf32>, tensor<4xf32>
}

// -----

// What devices along x have of a sum is not added up yet: nor is the sum, which is told of it as the part is.

// CHECK: func.func private @backward(%arg0: {{.*}}, %arg1: tensor<4xf32> {alpa.accumulate = "add", alpa.sharding = "{y}", alpa.unreduced = "x", alpa.value = "s0"}) -> (tensor<4xf32> {alpa.accumulate = "add", {{.*}}alpa.sharding = "{y}", alpa.unreduced = "x", alpa.value = "s0"})
// CHECK: %[[PART:.*]] = stablehlo.reduce(%arg0
// CHECK: stablehlo.add %arg1, %[[PART]] {alpa.results = ["{y}"], alpa.unreduced = "x"}
// CHECK: func.func private @update0(%arg0: tensor<4xf32> {alpa.sharding = "{y}", alpa.value = "s0"})
func.func public @main(%x: tensor<8x4xf32> {alpa.sharding = "{x},{y}", alpa.value = "v0"})
    -> (tensor<4xf32> {alpa.accumulate = "add", alpa.for_update = true, alpa.value = "s0"}, tensor<4xf32> {alpa.value = "r0"}) attributes {alpa.num_microbatches = 2 : i64} {
  %zero = stablehlo.constant {alpa.phase = "backward"} dense<0.0> : tensor<f32>
  %0 = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0] {alpa.phase = "backward", alpa.results = ["{y}"], alpa.unreduced = "x"} : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = stablehlo.sine %0 {alpa.phase = "update", alpa.results = ["{y}"], alpa.round = 0 : i64} : tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}
