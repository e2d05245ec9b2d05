// RUN: rm -rf %t && split-file %s %t
// RUN: alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 devices-per-node=2 inter-node-bytes-per-second=1.25e10 choices=0,1' | FileCheck %s --check-prefix=TANH
// RUN: alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 devices-per-node=2 inter-node-bytes-per-second=1.25e10 choices-file=%t/list.json' | FileCheck %s --check-prefix=TANH
// RUN: alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 devices-per-node=2 inter-node-bytes-per-second=1.25e10 choices-file=%t/solution.json' | FileCheck %s --check-prefix=TANH

// The example of Passes.td, with the choices as option, as list and as solution file. The mesh keeps the rates that
// routes are chosen by.

// TANH: module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 2 : i64, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.250000e+10 : f64, latency_seconds = 1.000000e-05 : f64}, intra_node = {bytes_per_second = 1.000000e+11 : f64, latency_seconds = 1.000000e-05 : f64}, memory_bytes_per_second = 1.000000e+12 : f64, sizes = [2]}}
// TANH: %arg0: tensor<4x3xf32> {alpa.sharding = "{},{}"}
// TANH: stablehlo.tanh %arg0 {alpa.operands = ["{x},{}"], alpa.results = ["{x},{}"]

//--- list.json
[0, 1]
//--- solution.json
{"choices": [0, 1], "cost": 3}
//--- tanh.mlir
func.func public @main(%arg0: tensor<4x3xf32>) -> tensor<4x3xf32> {
  %0 = stablehlo.tanh %arg0 {sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=4, j=3}>} : tensor<4x3xf32>
  return %0 : tensor<4x3xf32>
}

// The whole way on files: enumerate, choose, annotate, verify. Node by node (%arg0, %arg1, the product): the rows of
// %arg0 over x, %arg1 whole, the product by rows over x and by columns over y.

// RUN: alpa-opt %t/dot.mlir '--alpa-enumerate-strategies=mesh=x=2,y=2 problem-file=%t/dot.json' | FileCheck %s --check-prefix=NAMES
// RUN: %python -c "import json; print(len(json.load(open(r'%t/dot.json'))['problem']['nodes']['intervals']))" | FileCheck %s --check-prefix=NODES
// RUN: alpa-opt %t/dot.mlir '--alpa-choose-strategies=mesh=x=2,y=2 choices=3,0,8' --alpa-annotate-shardings --alpa-verify-shardings | FileCheck %s --check-prefix=WAY
// NAMES: %arg0: tensor<4x6xf32> {alpa.strategies = ["{},{}", "{y},{}", "{},{y}", "{x},{}",
// NAMES: stablehlo.dot_general {{.*}}alpa.strategies = ["replicated", "y=i", "y=j", "y=k", "y=k>0", "y=k>1", "x=i", "x=i,y=i", "x=i,y=j", "x=i,y=k",
// NODES: 3
// WAY: sdy.mesh @mesh = <["x"=2, "y"=2]>
// WAY: %arg0: tensor<4x6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>}
// WAY-SAME: -> (tensor<4x8xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {"y"}]>})
// WAY: %[[B:.*]] = sdy.sharding_constraint %arg1 <@mesh, [{}, {"y"}]>
// WAY: %[[DOT:.*]] = stablehlo.dot_general %arg0, %[[B]]
// WAY: sdy.sharding_constraint %[[DOT]] <@mesh, [{"x"}, {"y"}]>

//--- dot.mlir
func.func public @main(%arg0: tensor<4x6xf32>, %arg1: tensor<6x8xf32>) -> tensor<4x8xf32> {
  %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0]
       {sdy.sharding_rule = #sdy.op_sharding_rule<([i, k], [k, j])->([i, j]) {i=4, j=8, k=6} reduction={k}>}
       : (tensor<4x6xf32>, tensor<6x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// A value with several readers (here the operands of a product with itself) has a view, a node of the problem after all
// others. A solution of the problem has a choice for it, but it follows from the others.

// RUN: alpa-opt %t/square.mlir '--alpa-enumerate-strategies=mesh=x=2 problem-file=%t/square.json' -o /dev/null
// RUN: %python -c "import json; print(len(json.load(open(r'%t/square.json'))['problem']['nodes']['intervals']))" | FileCheck %s --check-prefix=VIEWS
// RUN: alpa-opt %t/square.mlir '--alpa-choose-strategies=mesh=x=2 choices=1,1' | FileCheck %s --check-prefix=SQUARE
// RUN: alpa-opt %t/square.mlir '--alpa-choose-strategies=mesh=x=2 choices=1,1,0' | FileCheck %s --check-prefix=SQUARE
// RUN: not alpa-opt %t/square.mlir '--alpa-choose-strategies=mesh=x=2 choices=1,1,0,0' 2>&1 | FileCheck %s --check-prefix=MANY
// VIEWS: 3
// SQUARE: %arg0: tensor<4x6xf32> {alpa.sharding = "{x},{}"}
// SQUARE: alpa.operands = ["{x},{}", "{},{}"], alpa.results = ["{x},{}"]
// MANY: error: expected 2 or, with those of views, 3 choices, got 4

//--- square.mlir
func.func public @main(%arg0: tensor<4x6xf32>) -> tensor<4x4xf32> {
  %0 = stablehlo.dot_general %arg0, %arg0, contracting_dims = [1] x [1]
       {sdy.sharding_rule = #sdy.op_sharding_rule<([i, k], [j, k])->([i, j]) {i=4, j=4, k=6} reduction={k}>}
       : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x4xf32>
  return %0 : tensor<4x4xf32>
}
