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
