// Strategies of ops, their choice, and what XLA obeys.

#ifndef ALPA_SHARDING_PASSES
#define ALPA_SHARDING_PASSES

include "mlir/Pass/PassBase.td"

// What the machine is like, for the passes that enumerate strategies. The order of strategies depends on the mesh, on
// reduce-scatter and on the strategy space only.
class TargetOptions {
  list<Option> targetOptions = [
    ListOption<"mesh", "mesh", "std::string", "Axes of the mesh, as in mesh=x=2,y=4 (one to three)">,
    Option<"devicesPerNode", "devices-per-node", "int64_t", "1 << 20",
           "Nodes take the devices of the mesh in row-major order, so many each; by default one node has all">,
    Option<"intraNodeLatencySeconds", "intra-node-latency-seconds", "double", "1e-5",
           "Latency of a collective within nodes">,
    Option<"intraNodeBytesPerSecond", "intra-node-bytes-per-second", "double", "1e11", "What a device sends">,
    Option<"interNodeLatencySeconds", "inter-node-latency-seconds", "double", "1e-5",
           "Latency of a collective between nodes">,
    Option<"interNodeBytesPerSecond", "inter-node-bytes-per-second", "double", "1e11",
           "What a node, all its devices together, sends to others">,
    Option<"peakFlops", "peak-flops", "double", "1e14", "FLOP/s of a device">,
    Option<"memoryBytesPerSecond", "memory-bytes-per-second", "double", "1e12", "Memory bandwidth of a device">,
    Option<"memoryLimitBytes", "memory-limit-bytes", "int64_t", "0", "Memory of a device; 0 is no limit">,
    Option<"hasReduceScatter", "has-reduce-scatter", "bool", "true",
           "Whether XLA makes reduce-scatters for these devices, and one all-reduce of several (GPU: yes, CPU: no)">,
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
    module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
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

#endif
