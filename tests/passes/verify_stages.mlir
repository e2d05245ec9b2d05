// RUN: alpa-opt %s --alpa-verify-stages | FileCheck %s

// CHECK: func.func private @stage0_forward
// CHECK: func.func private @microbatch
// CHECK-NEXT: call @stage0_forward
func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "r0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
  %0 = stablehlo.exponential %x {alpa.phase = "forward"} : tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @microbatch(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "r0"}) {
  %0 = call @stage0_forward(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @update() {
  return
}

