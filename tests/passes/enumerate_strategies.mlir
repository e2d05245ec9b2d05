// RUN: rm -rf %t && split-file %s %t
// RUN: alpa-opt %t/by_two.mlir --split-input-file --alpa-enumerate-strategies=mesh=x=2 | FileCheck %s --check-prefixes=TANH,LOOP,SCATTER,ROWS,BARRIER
// RUN: alpa-opt %t/dot.mlir --alpa-enumerate-strategies=mesh=x=2,y=4 | FileCheck %s --check-prefix=DOT
// RUN: alpa-opt %t/dot.mlir '--alpa-enumerate-strategies=mesh=x=2 has-reduce-scatter=false' | FileCheck %s --check-prefix=CPU
// RUN: alpa-opt %t/dot.mlir --alpa-enumerate-strategies=mesh=x=1 | FileCheck %s --check-prefix=ONE
// RUN: alpa-opt %t/fixed.mlir --alpa-enumerate-strategies=mesh=x=2,y=4 | FileCheck %s --check-prefix=FIXED

// The example of Passes.td: the dim of size 3 cannot be split.

// TANH: %arg0: tensor<4x3xf32> {alpa.strategies = ["{},{}", "{x},{}"]}
// TANH: stablehlo.tanh %arg0 {alpa.strategies = ["replicated", "x=i"]

//--- by_two.mlir
func.func public @main(%arg0: tensor<4x3xf32>) -> tensor<4x3xf32> {
  %0 = stablehlo.tanh %arg0 {sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=4, j=3}>} : tensor<4x3xf32>
  return %0 : tensor<4x3xf32>
}

// -----

// A carried value has a list of its own in the loop's attribute; the ops of the body choose like any other.

// LOOP: stablehlo.while
// LOOP-SAME: alpa.strategies = {{\[\[}}""], ["{}", "{x}"]]
// LOOP: stablehlo.sine {{.*}}alpa.strategies = ["replicated", "x=i"]

func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %0:2 = stablehlo.while(%i = %zero, %x = %arg0) : tensor<i32>, tensor<4xf32>
    cond {
      %limit = stablehlo.constant dense<3> : tensor<i32>
      %more = stablehlo.compare LT, %i, %limit {sdy.sharding_rule = #sdy.op_sharding_rule<([], [])->([])>} : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %more : tensor<i1>
    } do {
      %one = stablehlo.constant dense<1> : tensor<i32>
      %next = stablehlo.add %i, %one {sdy.sharding_rule = #sdy.op_sharding_rule<([], [])->([])>} : tensor<i32>
      %y = stablehlo.sine %x {sdy.sharding_rule = #sdy.op_sharding_rule<([i])->([i]) {i=4}>} : tensor<4xf32>
      stablehlo.return %next, %y : tensor<i32>, tensor<4xf32>
    }
  return %0#1 : tensor<4xf32>
}

// -----

// Rows may be split if several updates go to them; for a single update XLA's partitioner would be wrong.

// SCATTER: "stablehlo.scatter"(%arg0, %arg1, %arg2)
// SCATTER: alpa.strategies = ["replicated", "x=i", "x=i>0", "x=i>1", "x=j", "x=k"]
// SCATTER: "stablehlo.scatter"(%arg0, %arg3, %arg4)
// SCATTER: alpa.strategies = ["replicated", "x=j"]

func.func public @main(%arg0: tensor<8x4xf32>, %arg1: tensor<2x1xi32>, %arg2: tensor<2x4xf32>, %arg3: tensor<1x1xi32>, %arg4: tensor<1x4xf32>)
    -> (tensor<8x4xf32>, tensor<8x4xf32>) {
  %0 = "stablehlo.scatter"(%arg0, %arg1, %arg2) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %sum = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %sum : tensor<f32>
  }) {sdy.sharding_rule = #sdy.op_sharding_rule<([k, j], [i, l], [i, j])->([k, j]) {i=2, j=4, k=8, l=1} reduction={i} need_replication={l}>}
     : (tensor<8x4xf32>, tensor<2x1xi32>, tensor<2x4xf32>) -> tensor<8x4xf32>
  %1 = "stablehlo.scatter"(%arg0, %arg3, %arg4) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %sum = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %sum : tensor<f32>
  }) {sdy.sharding_rule = #sdy.op_sharding_rule<([k, j], [i, l], [i, j])->([k, j]) {i=1, j=4, k=8, l=1} reduction={i} need_replication={l}>}
     : (tensor<8x4xf32>, tensor<1x1xi32>, tensor<1x4xf32>) -> tensor<8x4xf32>
  return %0, %1 : tensor<8x4xf32>, tensor<8x4xf32>
}

// -----

// One update in each row of a batching dim: several updates, so what they go to may be split.

// ROWS: "stablehlo.scatter"
// ROWS: alpa.strategies = ["replicated", "x=i", "x=j"]

func.func public @main(%arg0: tensor<8x4xf32>, %arg1: tensor<8x1xi32>, %arg2: tensor<8xf32>) -> tensor<8x4xf32> {
  %0 = "stablehlo.scatter"(%arg0, %arg1, %arg2) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [1], input_batching_dims = [0], scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [1], index_vector_dim = 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %sum = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %sum : tensor<f32>
  }) {sdy.sharding_rule = #sdy.op_sharding_rule<([i, j], [i, k], [i])->([i, j]) {i=8, j=4, k=1} need_replication={k}>}
     : (tensor<8x4xf32>, tensor<8x1xi32>, tensor<8xf32>) -> tensor<8x4xf32>
  return %0 : tensor<8x4xf32>
}

// -----

// The values a barrier passes on choose apart.

// BARRIER: stablehlo.optimization_barrier
// BARRIER-SAME: alpa.strategies = {{\[\[}}"{}", "{x}"], ["{},{}", "{},{x}"]]

func.func public @main(%arg0: tensor<4xf32>, %arg1: tensor<3x2xf32>) -> (tensor<4xf32>, tensor<3x2xf32>) {
  %0:2 = stablehlo.optimization_barrier %arg0, %arg1 : tensor<4xf32>, tensor<3x2xf32>
  return %0#0, %0#1 : tensor<4xf32>, tensor<3x2xf32>
}

// Every axis on every factor it divides. A split reduction factor ends in an all-reduce, or in a reduce-scatter over a
// dim of the result where there are any; an axis of one device splits nothing.

// DOT: stablehlo.dot_general
// DOT-SAME: alpa.strategies = ["replicated", "y=i", "y=k", "y=k>0", "x=i", "x=i,y=i", "x=i,y=k", "x=i,y=k>0",
// DOT-SAME: "x=j", "x=j,y=i", "x=j,y=k", "x=j,y=k>0",
// DOT-SAME: "x=k", "x=k>0", "x=k>1", "x=k,y=i", "x=k,y=i>0", "x=k,y=i>1", "x=k,y=k", "x=k,y=k>0"]
// CPU: alpa.strategies = ["replicated", "x=i", "x=j", "x=k"]
// ONE: alpa.strategies = ["replicated"]

//--- dot.mlir
func.func public @main(%arg0: tensor<8x16xf32>, %arg1: tensor<16x2xf32>) -> tensor<8x2xf32> {
  %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0]
       {sdy.sharding_rule = #sdy.op_sharding_rule<([i, k], [k, j])->([i, j]) {i=8, j=2, k=16} reduction={k}>}
       : (tensor<8x16xf32>, tensor<16x2xf32>) -> tensor<8x2xf32>
  return %0 : tensor<8x2xf32>
}

// What the user has fixed is the only choice; an open dim may take more axes.

// FIXED: %arg0: tensor<8x8xf32> {alpa.strategies = ["{x},{}", "{x},{y}"]
// FIXED: sdy.sharding_constraint
// FIXED-SAME: alpa.strategies = ["x=j,y=i"]

//--- fixed.mlir
sdy.mesh @mesh = <["x"=2, "y"=4]>
func.func public @main(%arg0: tensor<8x8xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {?}]>}) -> tensor<8x8xf32> {
  %0 = sdy.sharding_constraint %arg0 <@mesh, [{"y"}, {"x"}]> {sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=8, j=8}>} : tensor<8x8xf32>
  return %0 : tensor<8x8xf32>
}
