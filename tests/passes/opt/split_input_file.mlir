// RUN: alpa-opt %s --split-input-file | FileCheck %s


// CHECK: func.func @first
// CHECK: // -----
// CHECK: func.func @second
func.func @first(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}

// -----

func.func @second(%arg0: tensor<8xf32>) -> tensor<8xf32> {
  return %arg0 : tensor<8xf32>
}
