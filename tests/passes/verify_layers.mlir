// RUN: alpa-opt %s --alpa-verify-layers | FileCheck %s

// CHECK-LABEL: func.func private @microbatch
// CHECK: tanh %arg0 {alpa.layer = 0 : i64, alpa.phase = "forward"}
func.func private @microbatch(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.tanh %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
  %1 = stablehlo.tanh %0 {alpa.layer = 1 : i64, alpa.phase = "backward"} : tensor<4xf32>
  %2 = stablehlo.multiply %0, %1 {alpa.layer = 0 : i64, alpa.phase = "backward"} : tensor<4xf32>
  return %2 : tensor<4xf32>
}
func.func private @update(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
