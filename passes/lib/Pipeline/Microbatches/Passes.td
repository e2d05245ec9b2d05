// A batch, as microbatches.

#ifndef ALPA_PIPELINE_MICROBATCHES_PASSES
#define ALPA_PIPELINE_MICROBATCHES_PASSES

include "mlir/Pass/PassBase.td"

def JoinChunks : Pass<"alpa-join-chunks", "::mlir::ModuleOp"> {
  let summary = "Loops over chunks of the batch that microbatches must cut become one pass over it";
  let description = [{
    Needs: what alpa-analyze-training needs.

    Leaves: the module as it is where `num-microbatches` divide what counts as examples. Where they do not, because a loop
    takes the batch in chunks (a loss summed over chunks to save memory: microbatches smaller than chunks save as much),
    no such loop of which the iterations work on one chunk each and on its examples one by one: its body stands in its
    place, once, for the examples of all chunks. Stacked chunks that it reads are reshaped (and transposed, where chunks are
    not right before their examples) to one, what it stacks is taken apart again, and sums over chunks are sums over all.

    A loop stays where examples of a chunk meet, where something else than a sum is made of a chunk, where the number of the
    chunk is read, or where it adds up something that is no sum over examples.

    A remark names each loop that is gone. Ops that were in it keep their `alpa.op` and have no sharding rule, nor have new
    ones: alpa-normalize (which removes reshapes that undo each other) and `sdy-populate-op-sharding-rules` run again after
    this. Fails: what alpa-analyze-training fails on.

    With `num-microbatches=4`:

    ```mlir
    func.func public @main(%x: tensor<4xf32> {alpa.batch}) -> tensor<f32> {
      %first = stablehlo.constant dense<0> : tensor<i32>
      %none = stablehlo.constant dense<0.0> : tensor<f32>
      %chunks = stablehlo.reshape %x : (tensor<4xf32>) -> tensor<2x2xf32>
      %0:3 = stablehlo.while(%i = %first, %sum = %none, %xs = %chunks) : tensor<i32>, tensor<f32>, tensor<2x2xf32>
      cond {
        %n = stablehlo.constant dense<2> : tensor<i32>
        %1 = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
        stablehlo.return %1 : tensor<i1>
      } do {
        %zero = stablehlo.constant dense<0> : tensor<i32>
        %nothing = stablehlo.constant dense<0.0> : tensor<f32>
        %1 = stablehlo.dynamic_slice %xs, %i, %zero, sizes = [1, 2] : (tensor<2x2xf32>, tensor<i32>, tensor<i32>) -> tensor<1x2xf32>
        %2 = stablehlo.reshape %1 : (tensor<1x2xf32>) -> tensor<2xf32>
        %3 = stablehlo.sine %2 : tensor<2xf32>
        %4 = stablehlo.reduce(%3 init: %nothing) applies stablehlo.add across dimensions = [0] : (tensor<2xf32>, tensor<f32>) -> tensor<f32>
        %5 = stablehlo.add %sum, %4 : tensor<f32>
        %one = stablehlo.constant dense<1> : tensor<i32>
        %6 = stablehlo.add %i, %one : tensor<i32>
        stablehlo.return %6, %5, %xs : tensor<i32>, tensor<f32>, tensor<2x2xf32>
      }
      return %0#1 : tensor<f32>
    }
    ==>
    func.func public @main(%x: tensor<4xf32> {alpa.batch}) -> tensor<f32> {
      %none = stablehlo.constant dense<0.0> : tensor<f32>
      %chunks = stablehlo.reshape %x : (tensor<4xf32>) -> tensor<2x2xf32>
      %nothing = stablehlo.constant dense<0.0> : tensor<f32>
      %0 = stablehlo.reshape %chunks : (tensor<2x2xf32>) -> tensor<4xf32>
      %1 = stablehlo.reshape %0 : (tensor<4xf32>) -> tensor<1x4xf32>
      %2 = stablehlo.reshape %1 : (tensor<1x4xf32>) -> tensor<4xf32>
      %3 = stablehlo.sine %2 : tensor<4xf32>
      %4 = stablehlo.reduce(%3 init: %nothing) applies stablehlo.add across dimensions = [0] : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
      %5 = stablehlo.add %none, %4 : tensor<f32>
      return %5 : tensor<f32>
    }
    ```
  }];
  let options = [
    Option<"numMicrobatches", "num-microbatches", "int64_t", "1", "In how many parts the batch will be split">
  ];
}

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
