// Ops, as layers.

#ifndef ALPA_PIPELINE_LAYERS_PASSES
#define ALPA_PIPELINE_LAYERS_PASSES

include "mlir/Pass/PassBase.td"

def ClusterLayers : Pass<"alpa-cluster-layers", "::mlir::ModuleOp"> {
  let summary = "Ops that belong together get one layer: forward by the layer DP, the rest beside it";
  let description = [{
    Needs: what alpa-split-microbatches leaves.

    Leaves: `alpa.layer = k` on the ops of @microbatch and @update that belong somewhere, and `alpa.phase` on every op of
    @microbatch. An op holds what its loops and branches do. Ops without a layer need only constants, counts, keys and the
    number of the microbatch (or are broadcasts that several layers read): every part that reads them has its own.

    - *Forward*: Alpa's dynamic program (OSDI'22, eq. 6) cuts the ops such that no layer has more than 1 + `flops-tolerance`
      times the average FLOPs, each has a product or convolution, the fewest bytes cross, and layers are as even as that
      allows. Two orders are tried: the program's, and each op right before it is needed. Nothing is cut inside of what
      an optimization barrier has computed again (`jax.checkpoint`), if there are cuts enough elsewhere.
    - *Backward*: an op belongs to the highest of the layers of its readers, of the forward values and parameters it
      reads, of the forward op it computes again, and of the parameter whose gradient it is (parts of the gradient of a
      tied weight stay where they arise). Where higher layers have what an op reads too, minimum cuts decide, so that
      few bytes flow down.
    - *Update*: parameters, moments, gradients and what is made of them are where the first forward reader of the
      parameter is. What combines small values of several layers (a global norm) is in layer 0.

    Data flows forward 0, 1, ..., backward ..., 1, 0 (alpa-verify-layers). Remarks tell the FLOPs of the layers, the bytes
    between them, and a tolerance that had to be raised.

    Fails: more layers than products and convolutions, no @microbatch.

    With `num-layers=2`:

    ```mlir
    func.func private @microbatch(%x: tensor<4x8xf32> {alpa.argument = 2 : i64, alpa.batch, alpa.role = "batch"}, %w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.accumulator = 0 : i64}, tensor<8x8xf32> {alpa.accumulator = 1 : i64}) {
      %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
      %1 = stablehlo.dot_general %0, %v, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
      %2 = stablehlo.dot_general %0, %1, contracting_dims = [0] x [0] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
      %3 = stablehlo.dot_general %1, %v, contracting_dims = [1] x [1] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
      %4 = stablehlo.dot_general %x, %3, contracting_dims = [0] x [0] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
      %5 = stablehlo.add %dw, %4 {alpa.gradient_of = [0], alpa.phase = "backward"} : tensor<8x8xf32>
      %6 = stablehlo.add %dv, %2 {alpa.gradient_of = [1], alpa.phase = "backward"} : tensor<8x8xf32>
      return %5, %6 : tensor<8x8xf32>, tensor<8x8xf32>
    }
    func.func private @update(%w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.result = 0 : i64}, tensor<8x8xf32> {alpa.result = 1 : i64}) {
      %0 = stablehlo.subtract %w, %dw : tensor<8x8xf32>
      %1 = stablehlo.subtract %v, %dv : tensor<8x8xf32>
      return %0, %1 : tensor<8x8xf32>, tensor<8x8xf32>
    }
    ==>
    func.func private @microbatch(%x: tensor<4x8xf32> {alpa.argument = 2 : i64, alpa.batch, alpa.role = "batch"}, %w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.accumulator = 0 : i64}, tensor<8x8xf32> {alpa.accumulator = 1 : i64}) {
      %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] {alpa.layer = 0 : i64, alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
      %1 = stablehlo.dot_general %0, %v, contracting_dims = [1] x [0] {alpa.layer = 1 : i64, alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
      %2 = stablehlo.dot_general %0, %1, contracting_dims = [0] x [0] {alpa.layer = 1 : i64, alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
      %3 = stablehlo.dot_general %1, %v, contracting_dims = [1] x [1] {alpa.layer = 1 : i64, alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
      %4 = stablehlo.dot_general %x, %3, contracting_dims = [0] x [0] {alpa.layer = 0 : i64, alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
      %5 = stablehlo.add %dw, %4 {alpa.gradient_of = [0], alpa.layer = 0 : i64, alpa.phase = "backward"} : tensor<8x8xf32>
      %6 = stablehlo.add %dv, %2 {alpa.gradient_of = [1], alpa.layer = 1 : i64, alpa.phase = "backward"} : tensor<8x8xf32>
      return %5, %6 : tensor<8x8xf32>, tensor<8x8xf32>
    }
    func.func private @update(%w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.result = 0 : i64}, tensor<8x8xf32> {alpa.result = 1 : i64}) {
      %0 = stablehlo.subtract %w, %dw {alpa.layer = 0 : i64} : tensor<8x8xf32>
      %1 = stablehlo.subtract %v, %dv {alpa.layer = 1 : i64} : tensor<8x8xf32>
      return %0, %1 : tensor<8x8xf32>, tensor<8x8xf32>
    }
    ```
  }];
  let options = [
    Option<"numLayers", "num-layers", "int64_t", "0",
           "How many layers; 0: one for each of eight or more repeated blocks (two or more blocks from 129 on), else half as many as products and convolutions in the forward pass, at most 16">,
    Option<"flopsTolerance", "flops-tolerance", "double", "0.6",
           "By what part a layer may have more FLOPs than the average; raised where no layers allow it">
  ];
}

#endif
