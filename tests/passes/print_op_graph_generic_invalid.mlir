// What Shardy's parser refuses first, where there is one.
// REQUIRES: plugin
// RUN: %mlir-opt-with-plugin %s --pass-pipeline='builtin.module(alpa-print-op-graph)' --split-input-file --verify-diagnostics

func.func public @main(%arg0: tensor<4xf32> {alpa.batch}) -> tensor<4xf32> {
  // expected-error@+1 {{has a malformed sharding rule: expected a size for every factor it names, got '' in '#sdy.op_sharding_rule<([i])->([j]) {i=4}>'}}
  %0 = "stablehlo.sine"(%arg0) {sdy.sharding_rule = #sdy.op_sharding_rule<([i])->([j]) {i=4}>} : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32> {alpa.batch}) -> tensor<4xf32> {
  // expected-error@+1 {{has a malformed sharding rule: expected a factor, got '3])->([i]) {i=4}>' in '#sdy.op_sharding_rule<([3])->([i]) {i=4}>'}}
  %0 = "stablehlo.sine"(%arg0) {sdy.sharding_rule = #sdy.op_sharding_rule<([3])->([i]) {i=4}>} : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32> {alpa.batch}) -> tensor<4xf32> {
  // expected-error@+1 {{has a malformed sharding rule: expected '#sdy.op_sharding_rule<', got '1 : i32' in '1 : i32'}}
  %0 = "stablehlo.sine"(%arg0) {sdy.sharding_rule = 1 : i32} : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func public @main(%arg0: tensor<4xf32> {alpa.batch}) -> tensor<4xf32> {
  // expected-error@+1 {{expected a sharding rule with the ranks of its operands and results, got '#sdy.op_sharding_rule<([i])->([i, j]) {i=4, j=2}>'}}
  %0 = "stablehlo.sine"(%arg0) {sdy.sharding_rule = #sdy.op_sharding_rule<([i])->([i, j]) {i=4, j=2}>} : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
