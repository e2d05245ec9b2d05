// RUN: alpa-opt %s --alpa-split-stages="first-layers=0 rematerialize=0" | FileCheck %s

// Kept is what the second layer starts from; the rest of both layers is computed again.

// CHECK: func.func private @stage0_forward
// CHECK-SAME: -> (tensor<4xf32> {alpa.value = "[[MIDDLE:v[0-9]]]"})
// CHECK: func.func private @stage0_backward
// CHECK-SAME: (%arg0: tensor<4xf32> {alpa.argument = 0 : i64, alpa.value = "a0"}, %arg1: tensor<4xf32> {alpa.value = "[[MIDDLE]]"})
// CHECK-DAG: stablehlo.exponential %arg0 {{.*}}alpa.phase = "backward"
// CHECK-DAG: stablehlo.cosine %{{.*}}alpa.phase = "backward"
func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}, %sum: tensor<4xf32> {alpa.accumulator = 0 : i64}) -> (tensor<4xf32> {alpa.accumulate = "add", alpa.accumulator = 0 : i64}) {
  %0 = stablehlo.exponential %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
  %1 = stablehlo.sine %0 {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
  %2 = stablehlo.cosine %1 {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<4xf32>
  %3 = stablehlo.power %2, %1 {alpa.layer = 1 : i64, alpa.phase = "backward"} : tensor<4xf32>
  %4 = stablehlo.atan2 %3, %0 {alpa.layer = 0 : i64, alpa.phase = "backward"} : tensor<4xf32>
  %5 = stablehlo.add %sum, %4 {alpa.phase = "backward"} : tensor<4xf32>
  return %5 : tensor<4xf32>
}
func.func private @update() {
  return
}
