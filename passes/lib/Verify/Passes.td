// Checks between the phases: nothing of an earlier one is left.

#ifndef ALPA_VERIFY_PASSES
#define ALPA_VERIFY_PASSES

include "mlir/Pass/PassBase.td"

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

#endif
