// What a program is found to be.

#ifndef ALPA_ANALYSIS_PASSES
#define ALPA_ANALYSIS_PASSES

include "mlir/Pass/PassBase.td"

def AnalyzeTraining : Pass<"alpa-analyze-training", "::mlir::ModuleOp"> {
  let summary = "Finds the structure of a training step: phases, gradients, what microbatches would sum";
  let description = [{
    Needs: a module that alpa-normalize left, with the sharding rules of `sdy-populate-op-sharding-rules`; batch arguments
    marked `alpa.batch`, state arguments `alpa.state = <result>`, parameters of a step that returns gradients instead
    `alpa.gradient = <result>`. Nothing else in the program need be marked.

    Leaves: `alpa.role` on every argument and `alpa.phase` on every op. Ops at which the batch ends in a sum (the frontier)
    have `alpa.accumulate`, how results of microbatches combine, and `alpa.gradient_of`, the parameters whose gradient
    they make. *Forward* is what every gradient depends on, and what losses, metrics and results per example do;
    *backward* is the rest before the frontier; *update* comes after it, with what examples make of each other where no
    product, loop or branch on examples follows; *prologue* is where examples meet before any parameter is read: sums
    over the batch that flow back into computations on single examples or decide for them, and examples in another order.
    A program without parameters is all forward.

    Remarks tell people: ops and floating-point operations of each phase, every frontier value, every prologue value, and
    every op in which examples meet otherwise (batch norm, a sort along the batch): with microbatches the step would
    compute something else, so alpa-split-microbatches refuses it.

    Fails: a module that is not normalized, a sharding rule that does not fit its op, a batch argument without dims.

    ```mlir
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
    ==>
    func.func public @main(%w: tensor<4xf32> {alpa.role = "parameter", alpa.state = 0 : i64}, %x: tensor<8x4xf32> {alpa.batch, alpa.role = "batch"}) -> (tensor<4xf32>, tensor<f32>) {
      %0 = stablehlo.broadcast_in_dim %w, dims = [1] {alpa.phase = "forward"} : (tensor<4xf32>) -> tensor<8x4xf32>
      %1 = stablehlo.multiply %0, %x {alpa.phase = "forward"} : tensor<8x4xf32>
      %2 = stablehlo.exponential %1 {alpa.phase = "forward"} : tensor<8x4xf32>
      %zero = stablehlo.constant {alpa.phase = "forward"} dense<0.0> : tensor<f32>
      %loss = stablehlo.reduce(%2 init: %zero) applies stablehlo.add across dimensions = [0, 1] {alpa.accumulate = ["add"], alpa.phase = "forward"} : (tensor<8x4xf32>, tensor<f32>) -> tensor<f32>
      %3 = stablehlo.multiply %2, %x {alpa.phase = "backward"} : tensor<8x4xf32>
      %zero_0 = stablehlo.constant {alpa.phase = "backward"} dense<0.0> : tensor<f32>
      %4 = stablehlo.reduce(%3 init: %zero_0) applies stablehlo.add across dimensions = [0] {alpa.accumulate = ["add"], alpa.gradient_of = [0], alpa.phase = "backward"} : (tensor<8x4xf32>, tensor<f32>) -> tensor<4xf32>
      %5 = stablehlo.subtract %w, %4 {alpa.phase = "update"} : tensor<4xf32>
      return %5, %loss : tensor<4xf32>, tensor<f32>
    }
    ```
  }];
}

def PrintOpGraph : Pass<"alpa-print-op-graph", "::mlir::ModuleOp"> {
  let summary = "What the analyses know of every op and argument, as remarks";
  let description = [{
    Needs: a module that `alpa-normalize` left, with the sharding rules of `sdy-populate-op-sharding-rules` where batch
    dims are to be followed; batch arguments marked `alpa.batch`, state arguments `alpa.state = <result>`.

    Leaves: the module as it is. For every argument a remark with its role, for every op one with its floating-point
    operations, the bytes it moves, how often it runs, the ops it reads from and those that read it; for every value its
    bytes (0 where it needs no memory of its own), the ops between which it lives and the dim that counts examples; and
    one with the peak of memory. "Batch reduced here" marks the frontier of the batch, "mixed" an op in which examples
    meet otherwise.

    Fails: a module that is not normalized, a sharding rule that does not fit its op, a batch argument without dims.

    ```mlir
    func.func public @main(%x: tensor<8x4xf32> {alpa.batch}, %w: tensor<4x2xf32> {alpa.state = 0 : i64}) -> tensor<4x2xf32> {
      %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
           {sdy.sharding_rule = #sdy.op_sharding_rule<([i, k], [k, j])->([i, j]) {i=8, j=2, k=4} reduction={k}>}
           : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
      %1 = stablehlo.dot_general %x, %0, contracting_dims = [0] x [0]
           {sdy.sharding_rule = #sdy.op_sharding_rule<([k, i], [k, j])->([i, j]) {i=4, j=2, k=8} reduction={k}>}
           : (tensor<8x4xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
      return %1 : tensor<4x2xf32>
    }
    ==>
    remark: argument 0: batch, 128 bytes live [0, 1], batch in dim 0
    remark: argument 1: parameter, 32 bytes live [0, 1]
    remark: op 0: 128 flops, reads 160 bytes, writes 64 bytes, runs 1, from [] to [1]; 64 bytes live [0, 1], batch in dim 0
    remark: op 1: 128 flops, reads 192 bytes, writes 32 bytes, runs 1, from [0] to []; 32 bytes live [1, 1]; batch reduced here
    remark: peak of 256 bytes
    ```
  }];
}

#endif
