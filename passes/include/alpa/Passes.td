// Every pass: what it needs, what it leaves, before ==> after, options. docs/passes.md is generated from this file.

#ifndef ALPA_PASSES
#define ALPA_PASSES

include "mlir/Pass/PassBase.td"

def NormalizeModule : Pass<"alpa-normalize", "::mlir::ModuleOp"> {
  let summary = "One public function: calls inlined, dead code and duplicates gone, stable op ids";
  let description = [{
    Needs: a module with exactly one public function, in any form that JAX or another frontend emits.

    Leaves: that function with its name, its types and the attributes of its arguments and results, and no call in it:
    calls and composites, in regions too, are replaced by the bodies of their callees. Functions that no op names are
    gone. Ops without effect whose results nobody uses are gone, and of equal ops in a block one is left; optimization
    barriers are never merged. Every user of a constant (a splat broadcast, reshaped or converted, and an iota count as
    such) has a copy of its own right before it, so that a constant ties nothing together; tables larger than 1 KiB are
    shared. Loops, branches and custom calls stay. Every op of the function, of its loops and of its branches has
    `alpa.op`, its number in program order.

    Fails: no public function or several, recursion, a callee that is unknown or has no body.

    ```mlir
    func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
      %unused = stablehlo.cosine %arg0 : tensor<4xf32>
      %0 = func.call @double(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
      %1 = stablehlo.sine %0 : tensor<4xf32>
      %2 = func.call @double(%1) : (tensor<4xf32>) -> tensor<4xf32>
      %3 = stablehlo.sine %0 : tensor<4xf32>
      %4 = stablehlo.add %2, %3 : tensor<4xf32>
      return %4 : tensor<4xf32>
    }
    func.func private @double(%arg0: tensor<4xf32>) -> tensor<4xf32> {
      %two = stablehlo.constant dense<2.0> : tensor<f32>
      %0 = stablehlo.broadcast_in_dim %two, dims = [] : (tensor<f32>) -> tensor<4xf32>
      %1 = stablehlo.multiply %arg0, %0 : tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    ==>
    func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
      %cst = stablehlo.constant {alpa.op = 0 : i64} dense<2.0> : tensor<f32>
      %0 = stablehlo.broadcast_in_dim %cst, dims = [] {alpa.op = 1 : i64} : (tensor<f32>) -> tensor<4xf32>
      %1 = stablehlo.multiply %arg0, %0 {alpa.op = 2 : i64} : tensor<4xf32>
      %2 = stablehlo.sine %1 {alpa.op = 3 : i64} : tensor<4xf32>
      %cst_0 = stablehlo.constant {alpa.op = 4 : i64} dense<2.0> : tensor<f32>
      %3 = stablehlo.broadcast_in_dim %cst_0, dims = [] {alpa.op = 5 : i64} : (tensor<f32>) -> tensor<4xf32>
      %4 = stablehlo.multiply %2, %3 {alpa.op = 6 : i64} : tensor<4xf32>
      %5 = stablehlo.add %4, %2 {alpa.op = 7 : i64} : tensor<4xf32>
      return %5 : tensor<4xf32>
    }
    ```
  }];
}

// What the machine is like, for the passes that enumerate strategies. The order of strategies depends on the mesh, on
// reduce-scatter and on the strategy space only.
class TargetOptions {
  list<Option> targetOptions = [
    ListOption<"mesh", "mesh", "std::string", "Axes of the mesh, as in mesh=x=2,y=4 (one to three)">,
    ListOption<"latencySeconds", "latency-seconds", "double", "Latency of a collective, by axis [1e-5]">,
    ListOption<"bytesPerSecond", "bytes-per-second", "double", "Bandwidth of a device, by axis [1e11]">,
    Option<"peakFlops", "peak-flops", "double", "1e14", "FLOP/s of a device">,
    Option<"memoryBytesPerSecond", "memory-bytes-per-second", "double", "1e12", "Memory bandwidth of a device">,
    Option<"memoryLimitBytes", "memory-limit-bytes", "int64_t", "0", "Memory of a device; 0 is no limit">,
    Option<"hasReduceScatter", "has-reduce-scatter", "bool", "true",
           "Whether XLA makes reduce-scatters for these devices (GPU: yes, CPU: no)">,
    Option<"strategySpace", "strategy-space", "std::string", "\"auto\"", "auto, data, zero2 or zero3">
  ];
}

def EnumerateStrategies : Pass<"alpa-enumerate-strategies", "::mlir::ModuleOp">, TargetOptions {
  let summary = "The strategies of every op, and the sharding problem they make";
  let description = [{
    Needs: what alpa-normalize leaves, with the sharding rules that `sdy-populate-op-sharding-rules` attaches.

    Leaves: `alpa.strategies` on every op, loop and argument that has a choice to make: in each strategy every mesh axis
    splits one factor of the op's rule, or none (`x=i` splits factor i along x; `x=k` with a reduction factor k ends in an
    all-reduce; `x=k>0` in a reduce-scatter over result dim 0). With `problem-file` the sharding problem is written in
    IOPDDL's JSON, nodes in the order in which a walk meets them: arguments, then ops. After those comes a node for each
    value with several readers, the sharding it is given them in: a reshard that they share costs once.

    A remark names each op that stays replicated because it has no rule. Fails: a mesh that cannot be; a sharding fixed by
    the user that the mesh cannot give.

    With `mesh=x=2`:

    ```mlir
    func.func public @main(%arg0: tensor<4x3xf32>) -> tensor<4x3xf32> {
      %0 = stablehlo.tanh %arg0 {sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=4, j=3}>} : tensor<4x3xf32>
      return %0 : tensor<4x3xf32>
    }
    ==>
    func.func public @main(%arg0: tensor<4x3xf32> {alpa.strategies = ["{},{}", "{x},{}"]}) -> tensor<4x3xf32> {
      %0 = stablehlo.tanh %arg0 {alpa.strategies = ["replicated", "x=i"], sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=4, j=3}>} : tensor<4x3xf32>
      return %0 : tensor<4x3xf32>
    }
    ```
  }];
  let options = !listconcat(targetOptions, [
    Option<"problemFile", "problem-file", "std::string", "\"\"", "Where to write the sharding problem">
  ]);
}

def ChooseStrategies : Pass<"alpa-choose-strategies", "::mlir::ModuleOp">, TargetOptions {
  let summary = "A solution of the sharding problem, written into the IR";
  let description = [{
    Needs: what alpa-enumerate-strategies needs, the same options, and one choice per node of the problem: as a list, or in
    a file that holds a JSON list or an object with `choices`, as `alpa-solve` writes it. Those of arguments and ops are
    enough; the others follow from them.

    Leaves: `alpa.mesh` on the module, `alpa.sharding` on every argument, `alpa.operands` and `alpa.results` on every op:
    the shardings it reads and leaves.

    Fails: a number of choices that is not the number of nodes; a choice that is no strategy.

    With `mesh=x=2 choices=0,1`:

    ```mlir
    func.func public @main(%arg0: tensor<4x3xf32>) -> tensor<4x3xf32> {
      %0 = stablehlo.tanh %arg0 {sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=4, j=3}>} : tensor<4x3xf32>
      return %0 : tensor<4x3xf32>
    }
    ==>
    func.func public @main(%arg0: tensor<4x3xf32> {alpa.sharding = "{},{}"}) -> tensor<4x3xf32> {
      %0 = stablehlo.tanh %arg0 {alpa.operands = ["{x},{}"], alpa.results = ["{x},{}"], sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=4, j=3}>} : tensor<4x3xf32>
      return %0 : tensor<4x3xf32>
    }
    ```
  }];
  let options = !listconcat(targetOptions, [
    ListOption<"choices", "choices", "int32_t", "The strategy of each node">,
    Option<"choicesFile", "choices-file", "std::string", "\"\"", "A file with the strategy of each node">
  ]);
}

def AnnotateShardings : Pass<"alpa-annotate-shardings", "::mlir::ModuleOp"> {
  let summary = "Chosen shardings become what XLA obeys: a mesh, shardings of arguments and results, constraints";
  let description = [{
    Needs: what alpa-choose-strategies leaves.

    Leaves: one `sdy.mesh`; a sharding of every argument and result; a sharding constraint after each op whose sharding
    would not follow from what it reads, and one for each step of a reshard. XLA's partitioner has a pattern for single
    steps only (gather, slice, all-to-all, permute) and replicates a tensor otherwise, so longer routes are spelled out.
    Readers share the steps: the value goes to one sharding for all of them, from where each goes on. State goes out as
    it came in. Rules and choices are gone.

    Fails: no `alpa.mesh`; a sharding that is malformed or does not divide its tensor.

    ```mlir
    module attributes {alpa.mesh = {axes = ["x"], bytes_per_second = [1.0e+11], latency_seconds = [1.0e-05], memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
      func.func public @main(%arg0: tensor<4x6xf32> {alpa.sharding = "{x},{}"}) -> tensor<4x6xf32> {
        %0 = stablehlo.tanh %arg0 {alpa.operands = ["{},{x}"], alpa.results = ["{},{x}"]} : tensor<4x6xf32>
        return %0 : tensor<4x6xf32>
      }
    }
    ==>
    module {
      sdy.mesh @mesh = <["x"=2]>
      func.func public @main(%arg0: tensor<4x6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {} ]>}) -> (tensor<4x6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x"} ]>}) {
        %0 = sdy.sharding_constraint %arg0 <@mesh, [{}, {"x"} ]> : tensor<4x6xf32>
        %1 = stablehlo.tanh %0 : tensor<4x6xf32>
        return %1 : tensor<4x6xf32>
      }
    }
    ```
  }];
}

def VerifyShardings : Pass<"alpa-verify-shardings", "::mlir::ModuleOp"> {
  let summary = "Checks that a module is sharded as XLA needs it";
  let description = [{
    Needs: what alpa-annotate-shardings leaves, or any module with Shardy's annotations on one mesh of at most three axes.

    Leaves it as it is. Fails, naming the op: no mesh or several; an argument or result without a sharding; a sharding with
    an axis that the mesh lacks or that does not divide its tensor; a constraint that follows another sharding but is not
    one step away from it, so that XLA would replicate the tensor; a choice of the planner that is still there.

    ```mlir
    sdy.mesh @mesh = <["x"=2]>
    func.func public @main(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"} ]>}) -> (tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"} ]>}) {
      return %arg0 : tensor<4xf32>
    }
    ==>
    sdy.mesh @mesh = <["x"=2]>
    func.func public @main(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"} ]>}) -> (tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"} ]>}) {
      return %arg0 : tensor<4xf32>
    }
    ```
  }];
}

def UnrollLoops : Pass<"alpa-unroll-loops", "::mlir::ModuleOp"> {
  let summary = "Scans over layers become layers: nothing goes through stacked buffers any more";
  let description = [{
    Needs: what alpa-analyze-training needs.

    Leaves: no loop with a constant trip count that slices, by its counter, floating-point numbers which every iteration
    shares and no example owns (stacked weights), or that sums over the batch (gradients): its iterations stand in its
    place, and loops within them are considered in turn. Loops that do neither stay, such as a recurrence over time in
    inference or a Newton iteration of an optimizer; so does a loop inside one of these.

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

def AnalyzeTraining : Pass<"alpa-analyze-training", "::mlir::ModuleOp"> {
  let summary = "Finds the structure of a training step: phases, gradients, what microbatches would sum";
  let description = [{
    Needs: a module that alpa-normalize left, with the sharding rules of `sdy-populate-op-sharding-rules`; batch arguments
    marked `alpa.batch`, state arguments `alpa.state = <result>`. Nothing else in the program need be marked.

    Leaves: `alpa.role` on every argument and `alpa.phase` on every op. Ops at which the batch ends in a sum (the frontier)
    have `alpa.accumulate`, how results of microbatches combine, and `alpa.gradient_of`, the parameters whose gradient
    they make. *Forward* is what every gradient depends on, and what losses, metrics and results per example do;
    *backward* is the rest before the frontier; *update* comes after it and sees no example; *prologue* makes sums over
    the batch that flow back into computations on single examples, but depend on no floating-point argument other than
    the batch. A program without parameters is all forward.

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
    - @update: sums over the whole batch come in, the other results of @main go out.

    The split is exact: batch dims are shorter, and constants such as 1 / batch size stay those of the whole batch, so
    that sums of microbatches are the sums of the batch. A mask or random bits for the whole batch are made for the
    microbatch alone where the ops that make them allow it, and sliced where they do not. With `allow-local-statistics`
    a sum that flows back (batch norm) is taken over the microbatch and scaled; the update sees that of the whole batch.
    Phases stay on the ops of @microbatch; sharding rules are gone, for sizes have changed.

    alpa-normalize turns the result into one function again: accumulation of gradients on one mesh.

    Fails: a number of microbatches that does not divide the batch; an op in which examples meet; a sum over examples in
    a loop, or one that starts from anything but the neutral element.

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
           "How many layers; 0: half as many as products and convolutions in the forward pass, at most 16">,
    Option<"flopsTolerance", "flops-tolerance", "double", "0.6",
           "By what part a layer may have more FLOPs than the average; raised where no layers allow it">
  ];
}

def VerifyLayers : Pass<"alpa-verify-layers", "::mlir::ModuleOp"> {
  let summary = "Checks that data flows one way through the layers";
  let description = [{
    Needs: what alpa-cluster-layers leaves, or a module with layers of another making.

    Leaves it as it is. Fails, naming the op: an op of @microbatch reads from a later part in the order forward 0, 1, ...,
    backward ..., 1, 0; an op with an effect has no layer; a negative layer.

    ```mlir
    func.func private @microbatch(%x: tensor<4xf32>) -> tensor<4xf32> {
      %0 = stablehlo.tanh %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
      %1 = stablehlo.tanh %0 {alpa.layer = 1 : i64, alpa.phase = "backward"} : tensor<4xf32>
      %2 = stablehlo.multiply %0, %1 {alpa.layer = 0 : i64, alpa.phase = "backward"} : tensor<4xf32>
      return %2 : tensor<4xf32>
    }
    func.func private @update(%x: tensor<4xf32>) -> tensor<4xf32> {
      return %x : tensor<4xf32>
    }
    ==>
    func.func private @microbatch(%x: tensor<4xf32>) -> tensor<4xf32> {
      %0 = stablehlo.tanh %x {alpa.layer = 0 : i64, alpa.phase = "forward"} : tensor<4xf32>
      %1 = stablehlo.tanh %0 {alpa.layer = 1 : i64, alpa.phase = "backward"} : tensor<4xf32>
      %2 = stablehlo.multiply %0, %1 {alpa.layer = 0 : i64, alpa.phase = "backward"} : tensor<4xf32>
      return %2 : tensor<4xf32>
    }
    func.func private @update(%x: tensor<4xf32>) -> tensor<4xf32> {
      return %x : tensor<4xf32>
    }
    ```
  }];
}

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
    ListOption<"rematerialize", "rematerialize", "int64_t", "Stages whose backward computes the forward of each layer again">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

def VerifyStages : Pass<"alpa-verify-stages", "::mlir::ModuleOp"> {
  let summary = "Checks that a step was cut into stages: nothing mixed, nothing lacking, one way through";
  let description = [{
    Needs: what alpa-split-stages leaves.

    Leaves it as it is. Fails, naming function and value: @microbatch or @update does something of its own other than
    add parts up; a function without stage or phase; an op of another phase than its function; an argument or result
    without a name; a name that two functions make; a value that is read before, in the order forward 0, 1, ...,
    backward ..., 1, 0, update by rounds, anything has made it.

    ```mlir
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
    ==>
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
    ```
  }];
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
    Option<"stage", "stage", "int64_t", "0", "Which stage">,
    Option<"numInFlight", "num-in-flight", "int64_t", "1",
           "How many microbatches the stage holds activations of: their memory counts so often">
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
