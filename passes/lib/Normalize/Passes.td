// The form of the program that every other pass reads.

#ifndef ALPA_NORMALIZE_PASSES
#define ALPA_NORMALIZE_PASSES

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
    shared. What elementwise ops do between a reshape and one back is done in the first shape, and a reshape or transpose
    that undoes the one before it is none. Starts of dynamic slices and updates (and of gathers of one window) that may
    be out of range are clamped by an op of their own, for XLA forgets to clamp them where it merges or divides slices;
    one that constants, iotas, counters of loops or another clamp keep in range is not. Loops, branches and custom calls
    stay. Every op of the function, of its loops and of its branches has `alpa.op`, its number in program order.

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

#endif
