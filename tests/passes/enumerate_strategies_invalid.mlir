// RUN: rm -rf %t && split-file %s %t
// RUN: alpa-opt %t/unsharded.mlir --alpa-enumerate-strategies=mesh=x=2 --verify-diagnostics
// RUN: alpa-opt %t/fixed.mlir --alpa-enumerate-strategies=mesh=x=2,y=3 --verify-diagnostics --split-input-file
// RUN: alpa-opt %t/manual.mlir --alpa-enumerate-strategies=mesh=x=2 --verify-diagnostics
// RUN: not alpa-opt %t/plain.mlir --alpa-enumerate-strategies 2>&1 | FileCheck %s --check-prefix=NO-MESH
// RUN: not alpa-opt %t/plain.mlir --alpa-enumerate-strategies=mesh=a=2,b=2,c=2,d=2 2>&1 | FileCheck %s --check-prefix=AXES
// RUN: not alpa-opt %t/plain.mlir --alpa-enumerate-strategies=mesh=x=0 2>&1 | FileCheck %s --check-prefix=SIZE
// RUN: not alpa-opt %t/plain.mlir --alpa-enumerate-strategies=mesh=x=2,x=2 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: not alpa-opt %t/plain.mlir '--alpa-enumerate-strategies=mesh=x=2 intra-node-bytes-per-second=0' 2>&1 | FileCheck %s --check-prefix=RATE
// RUN: not alpa-opt %t/plain.mlir '--alpa-enumerate-strategies=mesh=x=2 inter-node-latency-seconds=nan' 2>&1 | FileCheck %s --check-prefix=NAN
// RUN: not alpa-opt %t/plain.mlir '--alpa-enumerate-strategies=mesh=x=2 devices-per-node=0' 2>&1 | FileCheck %s --check-prefix=NODE
// RUN: not alpa-opt %t/plain.mlir '--alpa-enumerate-strategies=mesh=x=2 peak-flops=-1' 2>&1 | FileCheck %s --check-prefix=PEAK
// RUN: not alpa-opt %t/plain.mlir '--alpa-enumerate-strategies=mesh=x=2 strategy-space=best' 2>&1 | FileCheck %s --check-prefix=SPACE
// RUN: not alpa-opt %t/plain.mlir '--alpa-enumerate-strategies=mesh=x=2 problem-file=%t/missing/p.json' 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not alpa-opt %t/empty.mlir --alpa-enumerate-strategies=mesh=x=2 2>&1 | FileCheck %s --check-prefix=EMPTY

// NO-MESH: error: expected mesh=x=2,y=4 with one to 3 axes, got 0
// AXES: error: expected mesh=x=2,y=4 with one to 3 axes, got 4
// SIZE: error: expected mesh axes such as x=2 with distinct names, got 'x=0'
// TWICE: error: expected mesh axes such as x=2 with distinct names, got 'x=2'
// RATE: error: expected a bandwidth above 0 and a latency of at least 0, both finite, within nodes, got 0 bytes/s and 1e-05 s
// NAN: error: expected a bandwidth above 0 and a latency of at least 0, both finite, between nodes, got 1e+11 bytes/s and nan s
// NODE: error: expected at least 1 device per node, got 0
// PEAK: error: expected a positive and finite peak FLOP/s for 'f32', got -1
// SPACE: error: expected a strategy space of auto, data, zero2, zero3, got 'best'
// FILE: error: cannot write '{{.*}}p.json': No such file or directory

//--- plain.mlir
func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}

// EMPTY: error: expected a function to shard, got none

//--- empty.mlir
module {}

// What has no rule stays replicated, and says so; a loop that ends when the data say so runs once as far as costs go.

//--- unsharded.mlir
func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-remark @below {{no sharding rule for 'stablehlo.custom_call', so it stays replicated}}
  %0 = stablehlo.custom_call @solver(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
  // expected-remark @below {{the trip count of this loop is not known, so its body is priced as one run}}
  %1 = stablehlo.while(%x = %0) : tensor<4xf32>
    cond {
      // expected-remark @below {{no sharding rule for 'stablehlo.custom_call', so it stays replicated}}
      %more = stablehlo.custom_call @again(%x) : (tensor<4xf32>) -> tensor<i1>
      stablehlo.return %more : tensor<i1>
    } do {
      stablehlo.return %x : tensor<4xf32>
    }
  return %1 : tensor<4xf32>
}

//--- fixed.mlir
sdy.mesh @mesh = <["z"=2]>
func.func public @main(
    // expected-error @below {{expected axes of the mesh in the sharding #sdy.sharding<@mesh, [{"z"}]>, got 'z': plan on a mesh with the axes of the user's shardings}}
    %arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"z"}]>}) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}

// -----

// What does not divide its tensor is no wish.

sdy.mesh @mesh = <["x"=2, "y"=3]>
func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-remark @below {{the sharding #sdy.sharding<@mesh, [{"y"}]> is not kept: it does not divide 'tensor<4xf32>'}}
  %0 = sdy.sharding_constraint %arg0 <@mesh, [{"y"}]> {sdy.sharding_rule = #sdy.op_sharding_rule<([i])->([i]) {i=4}>} : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

// On a stage of a pipeline an axis of the same size stands for the user's; without one it is a remark.

sdy.mesh @mesh = <["data"=2, "model"=4]>
func.func public @main(
    %arg0: tensor<8xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"data"}]>},
    // expected-remark @below {{the sharding #sdy.sharding<@mesh, [{"model"}]> is not kept: the mesh of the stage has no axis like 'model'}}
    %arg1: tensor<8xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"model"}]>}) -> tensor<8xf32> attributes {alpa.num_microbatches = 2 : i64} {
  %0 = stablehlo.add %arg0, %arg1 {sdy.sharding_rule = #sdy.op_sharding_rule<([i], [i])->([i]) {i=8}>} : tensor<8xf32>
  return %0 : tensor<8xf32>
}

// (Malformed rules: print_op_graph_unverified.mlir; Shardy's verifier refuses them here.)

//--- manual.mlir
sdy.mesh @mesh = <["x"=2]>
func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @below {{expected a program without manual sharding, got 'sdy.manual_computation': call shard_map outside the function to parallelize}}
  %0 = sdy.manual_computation(%arg0) in_shardings=[<@mesh, [{"x"}]>] out_shardings=[<@mesh, [{"x"}]>] manual_axes={"x"} (%arg1: tensor<2xf32>) {
    sdy.return %arg1 : tensor<2xf32>
  } : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
