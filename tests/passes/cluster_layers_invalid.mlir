// RUN: alpa-opt %s --alpa-cluster-layers=num-layers=2 --split-input-file --verify-diagnostics -o /dev/null
// RUN: not alpa-opt %s --alpa-cluster-layers='num-layers=-1' --split-input-file 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// RUN: not alpa-opt %s --alpa-cluster-layers='flops-tolerance=-0.5' --split-input-file 2>&1 | FileCheck %s --check-prefix=TOLERANCE
// NEGATIVE: expected 1 to 1 layers, one product or convolution of the forward pass each (0: chosen), got -1
// TOLERANCE: expected a flops-tolerance of at least 0, got -5.000000e-01

// expected-error@+1 {{expected 1 to 1 layers, one product or convolution of the forward pass each (0: chosen), got 2}}
func.func private @microbatch(%x: tensor<4x4xf32> {alpa.argument = 0 : i64, alpa.batch, alpa.role = "batch"}) -> (tensor<4x4xf32> {alpa.result = 0 : i64}) {
  %0 = stablehlo.dot_general %x, %x, contracting_dims = [1] x [1] {alpa.phase = "forward"} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = stablehlo.tanh %0 {alpa.phase = "forward"} : tensor<4x4xf32>
  return %1 : tensor<4x4xf32>
}
func.func private @update() {
  return
}

// -----

// expected-error@+1 {{expected functions @microbatch and @update; run alpa-split-microbatches first}}
module {
  func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    return %x : tensor<4xf32>
  }
}
