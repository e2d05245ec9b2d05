// Malformed input: MLIR's diagnostics at the user's line and column, status 1.
// RUN: split-file %s %t
// RUN: not alpa-opt %t/each.mlir --split-input-file 2>&1 | FileCheck %s
// RUN: not alpa-opt --split-input-file < %t/each.mlir 2>&1 | FileCheck %s --check-prefix=STDIN
// RUN: not alpa-opt %t/foreign.mlir 2>&1 | FileCheck %s --check-prefix=FOREIGN
// RUN: alpa-opt %t/foreign.mlir --allow-unregistered-dialect | FileCheck %s --check-prefix=ALLOWED
// RUN: not alpa-opt %t/absent.mlir 2>&1 | FileCheck %s --check-prefix=ABSENT
// RUN: not alpa-opt %t/good.mlir --alpa-no-such-pass 2>&1 | FileCheck %s --check-prefix=FLAG
// RUN: not alpa-opt %t/good.mlir --pass-pipeline='builtin.module(no-such-pass)' 2>&1 | FileCheck %s --check-prefix=PIPELINE
// RUN: %python %S/Inputs/broken_bytecode.py %t/good.mlir %t
// RUN: not alpa-opt %t/truncated.mlirbc 2>&1 | FileCheck %s --check-prefix=BYTECODE
// RUN: not alpa-opt %t/truncated.artifact 2>&1 | FileCheck %s --check-prefix=ARTIFACT
// RUN: not alpa-opt %t/noise.bin 2>&1 | FileCheck %s --check-prefix=NOISE

// A traceback anywhere would be a failure of alpa-opt itself.
// CHECK-NOT: Traceback
// CHECK: each.mlir:2:22: error: use of undeclared SSA value name
// CHECK-NEXT: {{^  }}%0 = stablehlo.add %arg1, %arg0
// CHECK-NEXT: {{^                     \^$}}
// CHECK: each.mlir:7:8: error: 'stablehlo.negate' op requires compatible types
// CHECK: each.mlir:13:10: error: use of value '%0' expects different type than prior uses
// CHECK: each.mlir:12:3: note: prior use here
// CHECK: each.mlir:16:{{[0-9]+}}: error: expected operation name in quotes
// STDIN: <stdin>:2:22: error: use of undeclared SSA value name
// FOREIGN: foreign.mlir:2:13: error: {{.*}}unregistered dialect
// ALLOWED: "mystery.op"() {a = 1 : i64} : () -> ()
// ABSENT: error: cannot open input file '{{.*}}absent.mlir': No such file or directory
// FLAG: Unknown command line argument '--alpa-no-such-pass'
// PIPELINE: 'no-such-pass' does not refer to a registered pass or pass pipeline
// BYTECODE-NOT: Traceback
// BYTECODE: truncated.mlirbc:0:0: error: {{.*}} bytes when only
// ARTIFACT-NOT: Traceback
// ARTIFACT: truncated.artifact:0:0: error: {{.*}}Failed to deserialize StableHLO
// NOISE-NOT: Traceback
// NOISE: noise.bin:1:{{[0-9]+}}: error: unexpected character

//--- each.mlir
func.func @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.add %arg1, %arg0 : tensor<4xf32>
  return %0 : tensor<4xf32>
}
// -----
func.func @main(%arg0: tensor<4xf32>) -> tensor<5xf32> {
  %0 = "stablehlo.negate"(%arg0) : (tensor<4xf32>) -> tensor<5xf32>
  return %0 : tensor<5xf32>
}
// -----
func.func @main(%arg0: tensor<4xf32>) -> tensor<5xf32> {
  %0 = stablehlo.add %arg0, %arg0 : tensor<4xf32>
  return %0 : tensor<5xf32>
}
// -----
module { func.func @main() { return }
//--- foreign.mlir
// An op of a dialect that nobody registered.
"mystery.op"() {a = 1 : i64} : () -> ()
//--- good.mlir
func.func @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}
