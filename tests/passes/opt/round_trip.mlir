// Every form of a module is read, and comes out as the same pretty text.
// RUN: alpa-opt %s | FileCheck %s
// RUN: alpa-opt < %s | FileCheck %s
// RUN: alpa-opt - -o %t.mlir < %s && FileCheck %s < %t.mlir
// RUN: alpa-opt %s --mlir-print-op-generic | FileCheck %s --check-prefix=GENERIC
// RUN: alpa-opt %s --mlir-print-op-generic | alpa-opt | FileCheck %s
// RUN: alpa-opt %s --emit-bytecode -o %t.mlirbc && alpa-opt %t.mlirbc | FileCheck %s
// RUN: %python %S/Inputs/portable_artifact.py %s %t.artifact && alpa-opt %t.artifact | FileCheck %s
// RUN: alpa-opt %s --mlir-print-debuginfo | FileCheck %s --check-prefix=LOCATIONS

// CHECK-NOT: loc(
// CHECK: sdy.mesh @mesh = <["x"=2]>
// CHECK: func.func public @main(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>}
// CHECK-NEXT: %[[SUM:.*]] = stablehlo.add %arg0, %arg0 {alpa.op = 7 : i64} : tensor<4xf32>
// CHECK-NEXT: return %[[SUM]] : tensor<4xf32>

// GENERIC: "func.func"()
// GENERIC: "stablehlo.add"(%arg0, %arg0) {alpa.op = 7 : i64} : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>

// LOCATIONS: #[[ADD:.*]] = loc("{{.*}}round_trip.mlir":[[# @LINE + 4]]:8)
sdy.mesh @mesh = <["x"=2]>
func.func public @main(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>})
    -> tensor<4xf32> {
  %0 = stablehlo.add %arg0, %arg0 {alpa.op = 7 : i64} : tensor<4xf32>
  return %0 : tensor<4xf32>
}
