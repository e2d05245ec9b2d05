// Scans over layers, as layers.

#ifndef ALPA_PIPELINE_LOOPS_PASSES
#define ALPA_PIPELINE_LOOPS_PASSES

include "mlir/Pass/PassBase.td"

def UnrollLoops : Pass<"alpa-unroll-loops", "::mlir::ModuleOp"> {
  let summary = "Scans over layers become layers: nothing goes through stacked buffers any more";
  let description = [{
    Needs: what alpa-analyze-training needs.

    Leaves: no loop with a constant trip count that slices, by its counter, floating-point numbers which every iteration
    shares and no example owns, and multiplies with what it sliced (stacked weights), or that makes more of sums over the
    batch than add them up: its iterations stand in its place, and loops within them are considered in turn. Loops that
    do neither stay, such as a recurrence over time, a loop over examples or a Newton iteration of an optimizer; so does a
    loop inside one of these.

    Counters are constants in an iteration, and so is what is computed of them. A slice of a stacked buffer is the value
    that an iteration put there; a slice of stacked weights is a slice at a constant place. A buffer that something else
    still reads (stacked gradients, outputs per layer) is one concatenation, unless rows that nobody wrote come from
    somewhere else: then updates at constant places stay. A branch chosen by a constant is its ops.

    Ops that were in a loop have no `alpa.op` and new ones no sharding rule: alpa-normalize and
    `sdy-populate-op-sharding-rules` run again after this.

    A remark names a loop that had to be unrolled and stays, for it is too long or has no constant trip count. Fails: what
    alpa-analyze-training fails on.

    ```mlir
    func.func public @main(%x: tensor<4xf32> {alpa.batch}, %w: tensor<2x4xf32>) -> (tensor<4xf32>, tensor<2x4xf32>) {
      %zero = stablehlo.constant dense<0> : tensor<i32>
      %none = stablehlo.constant dense<0.0> : tensor<2x4xf32>
      %0:3 = stablehlo.while(%i = %zero, %h = %x, %hs = %none) : tensor<i32>, tensor<4xf32>, tensor<2x4xf32>
      cond {
        %two = stablehlo.constant dense<2> : tensor<i32>
        %1 = stablehlo.compare LT, %i, %two : (tensor<i32>, tensor<i32>) -> tensor<i1>
        stablehlo.return %1 : tensor<i1>
      } do {
        %first = stablehlo.constant dense<0> : tensor<i32>
        %1 = stablehlo.dynamic_slice %w, %i, %first, sizes = [1, 4] : (tensor<2x4xf32>, tensor<i32>, tensor<i32>) -> tensor<1x4xf32>
        %2 = stablehlo.reshape %1 : (tensor<1x4xf32>) -> tensor<4xf32>
        %3 = stablehlo.multiply %h, %2 : tensor<4xf32>
        %4 = stablehlo.reshape %3 : (tensor<4xf32>) -> tensor<1x4xf32>
        %5 = stablehlo.dynamic_update_slice %hs, %4, %i, %first : (tensor<2x4xf32>, tensor<1x4xf32>, tensor<i32>, tensor<i32>) -> tensor<2x4xf32>
        %one = stablehlo.constant dense<1> : tensor<i32>
        %6 = stablehlo.add %i, %one : tensor<i32>
        stablehlo.return %6, %3, %5 : tensor<i32>, tensor<4xf32>, tensor<2x4xf32>
      }
      return %0#1, %0#2 : tensor<4xf32>, tensor<2x4xf32>
    }
    ==>
    func.func public @main(%x: tensor<4xf32> {alpa.batch}, %w: tensor<2x4xf32>) -> (tensor<4xf32>, tensor<2x4xf32>) {
      %0 = stablehlo.slice %w [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %1 = stablehlo.reshape %0 : (tensor<1x4xf32>) -> tensor<4xf32>
      %2 = stablehlo.multiply %x, %1 : tensor<4xf32>
      %3 = stablehlo.reshape %2 : (tensor<4xf32>) -> tensor<1x4xf32>
      %4 = stablehlo.slice %w [1:2, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %5 = stablehlo.reshape %4 : (tensor<1x4xf32>) -> tensor<4xf32>
      %6 = stablehlo.multiply %2, %5 : tensor<4xf32>
      %7 = stablehlo.reshape %6 : (tensor<4xf32>) -> tensor<1x4xf32>
      %8 = stablehlo.concatenate %3, %7, dim = 0 : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
      return %6, %8 : tensor<4xf32>, tensor<2x4xf32>
    }
    ```
  }];
  let options = [
    Option<"maxTripCount", "max-trip-count", "int64_t", "512", "Iterations above which a loop stays a loop">,
    Option<"all", "all", "bool", "false", "Unroll every loop with a constant trip count">
  ];
}

def SplitStacks : Pass<"alpa-split-stacks", "::mlir::ModuleOp"> {
  let summary = "State that is stacked for a scan over layers is renewed layer by layer";
  let description = [{
    Needs: what alpa-unroll-loops leaves: state arguments (`alpa.state`) of which single rows are sliced, and their next
    values.

    Leaves: all that is computed of stacked state row by row (gradients that come in rows, moments, clipping, weight
    decay) as ops on single rows, and what is put together of the rows where something reads all of them: a sum over
    layers is the sum of each layer's. @main has the arguments and results it had; a result is the concatenation of
    its rows. State stays as it is whose next value is not made row by row.

    New ops have no `alpa.op` and no sharding rule: alpa-normalize and `sdy-populate-op-sharding-rules` run again after
    this.

    ```mlir
    func.func public @main(%w: tensor<2x4xf32> {alpa.state = 0 : i64}, %x: tensor<1x4xf32>) -> (tensor<2x4xf32>) {
      %0 = stablehlo.slice %w [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %1 = stablehlo.multiply %0, %x : tensor<1x4xf32>
      %2 = stablehlo.slice %w [1:2, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %3 = stablehlo.multiply %1, %2 : tensor<1x4xf32>
      %4 = stablehlo.concatenate %1, %3, dim = 0 : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
      %5 = stablehlo.subtract %w, %4 : tensor<2x4xf32>
      return %5 : tensor<2x4xf32>
    }
    ==>
    func.func public @main(%w: tensor<2x4xf32> {alpa.state = 0 : i64}, %x: tensor<1x4xf32>) -> (tensor<2x4xf32>) {
      %0 = stablehlo.slice %w [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %1 = stablehlo.slice %w [1:2, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %2 = stablehlo.multiply %0, %x : tensor<1x4xf32>
      %3 = stablehlo.multiply %2, %1 : tensor<1x4xf32>
      %4 = stablehlo.subtract %0, %2 : tensor<1x4xf32>
      %5 = stablehlo.subtract %1, %3 : tensor<1x4xf32>
      %6 = stablehlo.concatenate %4, %5, dim = 0 : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
      return %6 : tensor<2x4xf32>
    }
    ```
  }];
}

def SeparateRows : Pass<"alpa-separate-rows", "::mlir::ModuleOp"> {
  let summary = "State whose rows are read and renewed apart becomes arguments and results of its own";
  let description = [{
    Needs: what alpa-split-stacks and alpa-normalize leave.

    Leaves: in place of each state argument (`alpa.state`) of @main that is read in slices along one dim only, and whose
    next value is a concatenation along that dim of rows between which the slices begin and end, an argument for each
    row, and a result for each row in place of its next value. `alpa.rows = array<i64: number, dim, begin, end>` says
    which rows of which argument or result they are. Attributes that name results by number follow.

    ```mlir
    func.func public @main(%w: tensor<2x4xf32> {alpa.state = 1 : i64}, %x: tensor<1x4xf32>) -> (tensor<1x4xf32>, tensor<2x4xf32>) {
      %0 = stablehlo.slice %w [0:1, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %1 = stablehlo.slice %w [1:2, 0:4] : (tensor<2x4xf32>) -> tensor<1x4xf32>
      %2 = stablehlo.multiply %0, %x : tensor<1x4xf32>
      %3 = stablehlo.multiply %2, %1 : tensor<1x4xf32>
      %4 = stablehlo.concatenate %2, %3, dim = 0 : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
      return %3, %4 : tensor<1x4xf32>, tensor<2x4xf32>
    }
    ==>
    func.func public @main(%arg0: tensor<1x4xf32> {alpa.rows = array<i64: 0, 0, 0, 1>, alpa.state = 1 : i64}, %arg1: tensor<1x4xf32> {alpa.rows = array<i64: 0, 0, 1, 2>, alpa.state = 2 : i64}, %arg2: tensor<1x4xf32>) -> (tensor<1x4xf32>, tensor<1x4xf32> {alpa.rows = array<i64: 1, 0, 0, 1>}, tensor<1x4xf32> {alpa.rows = array<i64: 1, 0, 1, 2>}) {
      %0 = stablehlo.multiply %arg0, %arg2 : tensor<1x4xf32>
      %1 = stablehlo.multiply %0, %arg1 : tensor<1x4xf32>
      return %1, %0, %1 : tensor<1x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
    }
    ```
  }];
}

#endif
