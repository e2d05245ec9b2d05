// RUN: rm -rf %t && split-file %s %t
// RUN: not alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 choices=0' 2>&1 | FileCheck %s --check-prefix=NUMBER
// RUN: not alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 choices=0,2' 2>&1 | FileCheck %s --check-prefix=OP
// RUN: not alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 choices=-1,0' 2>&1 | FileCheck %s --check-prefix=ARGUMENT
// RUN: not alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 choices-file=%t/none.json' 2>&1 | FileCheck %s --check-prefix=NO-FILE
// RUN: not alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 choices-file=%t/no_json' 2>&1 | FileCheck %s --check-prefix=NO-JSON
// RUN: not alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 choices-file=%t/text.json' 2>&1 | FileCheck %s --check-prefix=NO-NUMBER
// RUN: not alpa-opt %t/tanh.mlir '--alpa-choose-strategies=mesh=x=2 choices-file=%t/object.json' 2>&1 | FileCheck %s --check-prefix=NO-LIST
// RUN: not alpa-opt %t/tanh.mlir --alpa-choose-strategies=mesh=x 2>&1 | FileCheck %s --check-prefix=MESH

// NUMBER: error: expected 2 choices, got 1: choices belong to one problem-file of alpa-enumerate-strategies
// OP: tanh.mlir:2:{{.*}}error: expected a strategy below 2 for node 1, got 2
// ARGUMENT: tanh.mlir:1:{{.*}}error: expected a strategy below 2 for node 0, got -1
// NO-FILE: error: cannot read '{{.*}}none.json': No such file or directory
// NO-JSON: error: expected JSON in '{{.*}}no_json'
// NO-NUMBER: error: expected a strategy number at place 1 of '{{.*}}text.json'
// NO-LIST: error: expected a list of choices in '{{.*}}object.json'
// MESH: error: expected mesh axes such as x=2 with distinct names, got 'x'

//--- tanh.mlir
func.func public @main(%arg0: tensor<4x3xf32>) -> tensor<4x3xf32> {
  %0 = stablehlo.tanh %arg0 {sdy.sharding_rule = #sdy.op_sharding_rule<([i, j])->([i, j]) {i=4, j=3}>} : tensor<4x3xf32>
  return %0 : tensor<4x3xf32>
}
//--- no_json
choices
//--- text.json
[0, "x=i"]
//--- object.json
{"cost": 3}
