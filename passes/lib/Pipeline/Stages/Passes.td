// Layers, as stages of several functions.

#ifndef ALPA_PIPELINE_STAGES_PASSES
#define ALPA_PIPELINE_STAGES_PASSES

include "mlir/Pass/PassBase.td"

def SplitStages : Pass<"alpa-split-stages", "::mlir::ModuleOp"> {
  let summary = "One function per stage and phase; the step calls them and computes the same";
  let description = [{
    Needs: what alpa-cluster-layers leaves: @microbatch, @update and maybe @prologue, ops with `alpa.layer`.

    Leaves: for every stage, the layers from one of `first-layers` to the next, functions @stage0_forward,
    @stage0_backward and @stage0_update0, with `alpa.stage`, `alpa.phase` and, on updates, `alpa.round`. @microbatch and
    @update call them. An update is done in rounds where stages need one another's values, as clipping by global norm
    does. What crosses became arguments and results, each with its name, unique in the step, as `alpa.value`:
    `a3` argument 3 of @main (of a batch, its microbatch), `index` the number of the microbatch, `p0` what the prologue
    makes, `s2` what one microbatch adds to frontier value 2 (`alpa.accumulate` on the result says how) and, read by an
    update, the whole of it, `r1` result 1 of @main, `v7` and `u7` any other value. @prologue is put on the stage that
    reads it first.

    Ops without a layer are in every function that reads them. So is what costs less to make again than to keep or send:
    broadcasts, conversions to wider elements, and a few cheap maps of elements of values that are there anyway. Of a
    stage in `rematerialize` the backward keeps what each layer starts from and computes the rest of its forward again.

    With `only`, the functions of the other stages, @microbatch and @update are declarations, which say what they read
    and return: all that alpa-extract-stage wants to know of them.

    Fails, naming the op: one that reads what a later stage (in the backward, an earlier one) makes.

    With `first-layers=0,1`:

    ```mlir
    func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) -> (tensor<4xf32> {alpa.result = 0 : i64}) {
      %0 = stablehlo.exponential %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
      %1 = stablehlo.sine %0 {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    func.func private @update() {
      return
    }
    ==>
    func.func private @stage0_forward(%x: tensor<4xf32> {alpa.argument = 0 : i64, alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
      %0 = stablehlo.exponential %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    func.func private @stage1_forward(%0: tensor<4xf32> {alpa.value = "v0"}) -> (tensor<4xf32> {alpa.result = 0 : i64, alpa.value = "r0"}) attributes {alpa.phase = "forward", alpa.stage = 1 : i64} {
      %1 = stablehlo.sine %0 {alpa.layer = 1 : i64, alpa.phase = "forward"} : tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64, alpa.value = "a0"}) -> (tensor<4xf32> {alpa.result = 0 : i64, alpa.value = "r0"}) {
      %0 = call @stage0_forward(%x) : (tensor<4xf32>) -> tensor<4xf32>
      %1 = call @stage1_forward(%0) : (tensor<4xf32>) -> tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    func.func private @update() {
      return
    }
    ```
  }];
  let options = [
    ListOption<"firstLayers", "first-layers", "int64_t", "The first layer of every stage: 0, then ascending">,
    ListOption<"rematerialize", "rematerialize", "int64_t", "Stages whose backward computes the forward of each layer again">,
    Option<"only", "only", "int64_t", "-1", "The one stage to make functions of, for alpa-extract-stage; -1: all">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

def ExtractStage : Pass<"alpa-extract-stage", "::mlir::ModuleOp"> {
  let summary = "Of one stage a program: one microbatch forward and backward, and the update";
  let description = [{
    Needs: what alpa-split-stages leaves.

    Leaves: a public @main that calls the functions of stage `stage`, and those. It takes what they read of others and
    returns what others read, with the names of the values, and every sum over examples. `alpa.state` on an argument
    counts these results; `alpa.num_microbatches` says how often forward and backward run in a step. Layers and ids are
    gone: stages that do the same are the same text but for names. alpa-normalize makes one function of it, whose
    sharding problem is that of the stage: forward and backward count `alpa.num_microbatches` times.

    Fails: no function of such a stage.

    With `stage=1`:

    ```mlir
    func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
      %0 = stablehlo.exponential %x {alpa.phase = "forward"} : tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    func.func private @stage1_forward(%0: tensor<4xf32> {alpa.value = "v0"}) -> (tensor<4xf32> {alpa.value = "r0"}) attributes {alpa.phase = "forward", alpa.stage = 1 : i64} {
      %1 = stablehlo.sine %0 {alpa.phase = "forward"} : tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    func.func private @microbatch(%x: tensor<4xf32> {alpa.value = "a0"}) -> (tensor<4xf32> {alpa.value = "r0"}) {
      %0 = call @stage0_forward(%x) : (tensor<4xf32>) -> tensor<4xf32>
      %1 = call @stage1_forward(%0) : (tensor<4xf32>) -> tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    ==>
    func.func public @main(%0: tensor<4xf32> {alpa.value = "v0", jax.buffer_donor = true}) -> (tensor<4xf32> {alpa.value = "r0"}) {
      %1 = call @stage1_forward(%0) : (tensor<4xf32>) -> tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    func.func private @stage1_forward(%0: tensor<4xf32> {alpa.value = "v0"}) -> (tensor<4xf32> {alpa.value = "r0"}) attributes {alpa.phase = "forward", alpa.stage = 1 : i64} {
      %1 = stablehlo.sine %0 {alpa.phase = "forward"} : tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    ```
  }];
  let options = [
    Option<"stage", "stage", "int64_t", "0", "Which stage">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

def SplitPhases : Pass<"alpa-split-phases", "::mlir::ModuleOp"> {
  let summary = "A stage with its chosen shardings becomes one function per phase";
  let description = [{
    Needs: the one function that alpa-extract-stage and alpa-normalize left, with the choices of alpa-choose-strategies.

    Leaves: @forward, @backward, @update0, @update1, ... in its place, as far as there is something to do. A value that
    one passes to another has the same `alpa.sharding` on the result and on the argument: that in which its op leaves it.
    State has on the way out the sharding of its argument. New values between phases are named after the stage.

    Fails: an op without a phase.

    ```mlir
    func.func public @main(%x: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "v0"}) -> (tensor<4xf32> {alpa.value = "v1"}) {
      %0 = stablehlo.exponential %x {alpa.operands = ["{x}"], alpa.phase = "forward", alpa.results = ["{x}"]} : tensor<4xf32>
      %1 = stablehlo.sine %0 {alpa.operands = ["{x}"], alpa.phase = "backward", alpa.results = ["{x}"]} : tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    ==>
    func.func private @forward(%x: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "v0"}) -> (tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "stage0.v0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
      %0 = stablehlo.exponential %x {alpa.operands = ["{x}"], alpa.phase = "forward", alpa.results = ["{x}"]} : tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    func.func private @backward(%0: tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "stage0.v0"}) -> (tensor<4xf32> {alpa.sharding = "{x}", alpa.value = "v1"}) attributes {alpa.phase = "backward", alpa.stage = 0 : i64} {
      %1 = stablehlo.sine %0 {alpa.operands = ["{x}"], alpa.phase = "backward", alpa.results = ["{x}"]} : tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    ```
  }];
  let options = [Option<"stage", "stage", "int64_t", "0", "The number of the stage">];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

#endif
