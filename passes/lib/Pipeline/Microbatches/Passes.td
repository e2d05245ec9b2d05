// A batch, as microbatches.

#ifndef ALPA_PIPELINE_MICROBATCHES_PASSES
#define ALPA_PIPELINE_MICROBATCHES_PASSES

include "mlir/Pass/PassBase.td"

def SplitMicrobatches : Pass<"alpa-split-microbatches", "::mlir::ModuleOp"> {
  let summary = "A step becomes prologue, microbatch and update, with the same result";
  let description = [{
    Needs: what alpa-analyze-training leaves.

    Leaves: @main with its types, which computes what it did by calling, in this order,

    - @prologue, if there is one: its results, `alpa.prologue = k`, every microbatch needs;
    - @microbatch, in a loop: of batch arguments its slice of the examples, of other arguments of @main those it uses
      (`alpa.argument = i`), the number of the microbatch if it asks for it (`alpa.microbatch = m`), prologue values, and
      accumulators (`alpa.accumulator = k`). It returns the accumulators with its own share combined into them, and its
      examples of each result that has one value per example (`alpa.result = j`);
    - @update: sums over the whole batch come in, the other results of @main go out. Where it makes something of single
      examples, those of all microbatches come in, joined.

    The split is exact: batch dims are shorter, and constants such as 1 / batch size stay those of the whole batch, so
    that sums of microbatches are the sums of the batch. A mask or random bits for the whole batch are made for the
    microbatch alone where the ops that make them allow it, and sliced where they do not. With `allow-local-statistics`
    a sum that flows back (batch norm) is taken over the microbatch and scaled; the update sees that of the whole batch.
    Phases stay on the ops of @microbatch; sharding rules are gone, for sizes have changed.

    alpa-normalize turns the result into one function again: accumulation of gradients on one mesh.

    A sum that starts from anything but the neutral element meets that once, in @update. Loops over examples have those of
    the microbatch; with one for each they are none.

    Fails: a number of microbatches that does not divide the batch (or the groups that examples are read in); an op in
    which examples meet; a sum over examples of which a loop makes more than sums; an effect on examples.

    With `num-microbatches=2`:

    ```mlir
    func.func public @main(%x: tensor<8xf32> {alpa.batch}) -> tensor<f32> {
      %0 = stablehlo.exponential %x : tensor<8xf32>
      %zero = stablehlo.constant dense<0.0> : tensor<f32>
      %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
      %2 = stablehlo.sqrt %1 : tensor<f32>
      return %2 : tensor<f32>
    }
    ==>
    func.func public @main(%x: tensor<8xf32> {alpa.batch}) -> tensor<f32> {
      %zero = stablehlo.constant dense<0.0> : tensor<f32>
      %first = stablehlo.constant dense<0> : tensor<i32>
      %0:2 = stablehlo.while(%i = %first, %sum = %zero) : tensor<i32>, tensor<f32>
      cond {
        %m = stablehlo.constant dense<2> : tensor<i32>
        %1 = stablehlo.compare LT, %i, %m : (tensor<i32>, tensor<i32>) -> tensor<i1>
        stablehlo.return %1 : tensor<i1>
      } do {
        %size = stablehlo.constant dense<4> : tensor<i32>
        %1 = stablehlo.multiply %i, %size : tensor<i32>
        %2 = stablehlo.dynamic_slice %x, %1, sizes = [4] : (tensor<8xf32>, tensor<i32>) -> tensor<4xf32>
        %3 = func.call @microbatch(%2, %sum) : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
        %one = stablehlo.constant dense<1> : tensor<i32>
        %4 = stablehlo.add %i, %one : tensor<i32>
        stablehlo.return %4, %3 : tensor<i32>, tensor<f32>
      }
      %5 = call @update(%0#1) : (tensor<f32>) -> tensor<f32>
      return %5 : tensor<f32>
    }
    func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64, alpa.batch, alpa.role = "batch"}, %sum: tensor<f32> {alpa.accumulator = 0 : i64}) -> (tensor<f32> {alpa.accumulator = 0 : i64}) {
      %0 = stablehlo.exponential %x : tensor<4xf32>
      %zero = stablehlo.constant dense<0.0> : tensor<f32>
      %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [0] : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
      %2 = stablehlo.add %sum, %1 : tensor<f32>
      return %2 : tensor<f32>
    }
    func.func private @update(%sum: tensor<f32> {alpa.accumulator = 0 : i64}) -> (tensor<f32> {alpa.result = 0 : i64}) {
      %0 = stablehlo.sqrt %sum : tensor<f32>
      return %0 : tensor<f32>
    }
    ```
  }];
  let options = [
    Option<"numMicrobatches", "num-microbatches", "int64_t", "1", "In how many parts to split the batch">,
    Option<"allowLocalStatistics", "allow-local-statistics", "bool", "false",
           "Let each microbatch use its own statistics where sums over the batch flow back">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

#endif
