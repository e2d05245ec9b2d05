// RUN: alpa-opt %s --alpa-split-stages="first-layers=0,1 only=1" | FileCheck %s --implicit-check-not=exponential --implicit-check-not=call
// RUN: alpa-opt %s --alpa-split-stages="first-layers=0,1 only=1" | alpa-opt --alpa-extract-stage=stage=1 | FileCheck %s --check-prefix=STAGE
// RUN: not alpa-opt %s --alpa-split-stages="first-layers=0,1 only=2" 2>&1 | FileCheck %s --check-prefix=NONE

// CHECK: func.func private @stage0_forward(tensor<4xf32> {alpa.argument = 0 : i64, alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"})
// CHECK: func.func private @stage1_forward(%arg0: tensor<4xf32> {alpa.value = "v0"}) -> (tensor<4xf32> {alpa.result = 0 : i64, alpa.value = "r0"})
// CHECK-NEXT: sine %arg0
// CHECK: func.func private @microbatch(tensor<4xf32> {alpa.argument = 0 : i64, alpa.value = "a0"}) -> (tensor<4xf32> {alpa.result = 0 : i64, alpa.value = "r0"})
// CHECK: func.func private @update(tensor<4xf32> {alpa.argument = 1 : i64, {{.*}}alpa.value = "a1"}) -> (tensor<4xf32> {alpa.result = 1 : i64, alpa.value = "r1"})

// STAGE: func.func public @main(%arg0: tensor<4xf32> {{{.*}}alpa.value = "v0"{{.*}}}) -> (tensor<4xf32> {alpa.result = 0 : i64, alpa.value = "r0"})

// NONE: expected the only stage to make below 2, got 2
func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) -> (tensor<4xf32> {alpa.result = 0 : i64}) {
  %0 = stablehlo.exponential %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
  %1 = stablehlo.sine %0 {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @update(%a: tensor<4xf32> {alpa.argument = 1 : i64}) -> (tensor<4xf32> {alpa.result = 1 : i64}) {
  %0 = stablehlo.exponential %a {alpa.layer = 0 : i64} : tensor<4xf32>
  return %0 : tensor<4xf32>
}
