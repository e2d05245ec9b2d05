// Malformed input: MLIR's diagnostics at the user's line and column, status 1.
// RUN: split-file %s %t
// RUN: not alpa-opt %t/undeclared.mlir 2>&1 | FileCheck %s --check-prefix=UNDECLARED
// RUN: not alpa-opt < %t/undeclared.mlir 2>&1 | FileCheck %s --check-prefix=STDIN
// RUN: not alpa-opt %t/verifier.mlir 2>&1 | FileCheck %s --check-prefix=VERIFIER
// RUN: not alpa-opt %t/note.mlir 2>&1 | FileCheck %s --check-prefix=NOTE
// RUN: not alpa-opt %t/foreign.mlir 2>&1 | FileCheck %s --check-prefix=FOREIGN
// RUN: alpa-opt %t/foreign.mlir --allow-unregistered-dialect | FileCheck %s --check-prefix=ALLOWED
// RUN: not alpa-opt %t/unclosed.mlir 2>&1 | FileCheck %s --check-prefix=UNCLOSED
// RUN: not alpa-opt %t/absent.mlir 2>&1 | FileCheck %s --check-prefix=ABSENT
// RUN: not alpa-opt %t/good.mlir --alpa-no-such-pass 2>&1 | FileCheck %s --check-prefix=FLAG
// RUN: not alpa-opt %t/good.mlir --pass-pipeline='builtin.module(no-such-pass)' 2>&1 | FileCheck %s --check-prefix=PIPELINE
// RUN: %python %S/Inputs/broken_bytecode.py %t/good.mlir %t
// RUN: not alpa-opt %t/truncated.mlirbc 2>&1 | FileCheck %s --check-prefix=BYTECODE
// RUN: not alpa-opt %t/truncated.artifact 2>&1 | FileCheck %s --check-prefix=ARTIFACT
// RUN: not alpa-opt %t/noise.bin 2>&1 | FileCheck %s --check-prefix=NOISE

// A traceback anywhere would be a failure of alpa-opt itself.
// UNDECLARED-NOT: Traceback
// UNDECLARED: undeclared.mlir:2:22: error: use of undeclared SSA value name
// UNDECLARED-NEXT: {{^  }}%0 = stablehlo.add %arg1, %arg0
// UNDECLARED-NEXT: {{^                     \^$}}
// STDIN: <stdin>:2:22: error: use of undeclared SSA value name
// VERIFIER: verifier.mlir:2:8: error: 'stablehlo.negate' op requires compatible types
// NOTE: note.mlir:3:10: error: use of value '%0' expects different type than prior uses
// NOTE: note.mlir:2:3: note: prior use here
// FOREIGN: foreign.mlir:2:13: error: {{.*}}unregistered dialect
// ALLOWED: "mystery.op"() {a = 1 : i64} : () -> ()
// UNCLOSED: unclosed.mlir:1:{{[0-9]+}}: error: expected operation name in quotes
// ABSENT: error: cannot open input file '{{.*}}absent.mlir': No such file or directory
// FLAG: Unknown command line argument '--alpa-no-such-pass'
// PIPELINE: 'no-such-pass' does not refer to a registered pass or pass pipeline
// BYTECODE-NOT: Traceback
// BYTECODE: truncated.mlirbc:0:0: error: {{.*}} bytes when only
// ARTIFACT-NOT: Traceback
// ARTIFACT: truncated.artifact:0:0: error: {{.*}}Failed to deserialize StableHLO
// NOISE-NOT: Traceback
// NOISE: noise.bin:1:{{[0-9]+}}: error: unexpected character

//--- undeclared.mlir
func.func @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  %0 = stablehlo.add %arg1, %arg0 : tensor<4xf32>
  return %0 : tensor<4xf32>
}
//--- verifier.mlir
func.func @main(%arg0: tensor<4xf32>) -> tensor<5xf32> {
  %0 = "stablehlo.negate"(%arg0) : (tensor<4xf32>) -> tensor<5xf32>
  return %0 : tensor<5xf32>
}
//--- note.mlir
func.func @main(%arg0: tensor<4xf32>) -> tensor<5xf32> {
  %0 = stablehlo.add %arg0, %arg0 : tensor<4xf32>
  return %0 : tensor<5xf32>
}
//--- foreign.mlir
// An op of a dialect that nobody registered.
"mystery.op"() {a = 1 : i64} : () -> ()
//--- unclosed.mlir
module { func.func @main() { return }
//--- good.mlir
func.func @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}
