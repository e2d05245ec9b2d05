// Ops that no verifier has seen: attributes, operands and regions that are missing cost nothing, and
// nothing crashes.
// REQUIRES: plugin
// RUN: %mlir-opt-with-plugin %s --pass-pipeline='builtin.module(alpa-print-op-graph)' -o /dev/null 2>&1 | FileCheck %s

// CHECK: op 0: 0 flops
// CHECK: op 9: 0 flops
// CHECK: peak of
func.func public @main(%arg0: tensor<4xf32> {tf.aliasing_output = 7 : i32}) -> tensor<4xf32> {
  %0 = "stablehlo.dot_general"(%arg0) <{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [7]>}> : (tensor<4xf32>) -> tensor<4xf32>
  %1 = "stablehlo.convolution"() <{dimension_numbers = #stablehlo.conv<[b, 70000000]x[f]>}> : () -> tensor<4xf32>
  %2:2 = "stablehlo.while"(%arg0) ({}, {}) : (tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  %3 = "stablehlo.while"(%arg0) ({
  ^bb0(%i: tensor<4xf32>):
  }, {
  ^bb0:
  }) : (tensor<4xf32>) -> tensor<4xf32>
  %4 = "stablehlo.scatter"() ({}) : () -> tensor<4xf32>
  "stablehlo.dynamic_update_slice"() : () -> ()
  %5 = "stablehlo.case"() ({
  ^bb0:
  }) : () -> tensor<4xf32>
  %6 = "stablehlo.reduce"() ({
  ^bb0:
  }) : () -> tensor<4xf32>
  %7 = "stablehlo.optimization_barrier"() : () -> tensor<4xf32>
  %8 = "stablehlo.broadcast_in_dim"() : () -> tensor<4xf32>
  %9 = "stablehlo.constant"() : () -> tensor<4xf32>
  %10 = "test.keep"(%1, %2#1, %3, %4, %5, %6, %7, %8, %9) : (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
