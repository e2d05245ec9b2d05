// How often the ops of loops run.
// RUN: alpa-opt %s --alpa-print-op-graph --split-input-file -o /dev/null 2>&1 | FileCheck %s

// A loop in a loop: 5 times 3. The inner limit is a constant that the outer loop carries unchanged; its counter counts
// down to it with the operands of the comparison swapped.

// CHECK: op 2: {{.*}} runs 1, from [0 1 4 6 12] to [4 6 7 12]
// CHECK: op 6: {{.*}} runs 5, from [2 5 7 9 10] to [2 7 9 10]
// CHECK: op 10: 8 flops, {{.*}} runs 15, from [6] to [6]
// CHECK-NOT: expected a loop
func.func public @nested(%x: tensor<8xf32>) -> tensor<8xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %three = stablehlo.constant dense<3> : tensor<i32>
  %0:3 = stablehlo.while(%i = %zero, %limit = %three, %y = %x) : tensor<i32>, tensor<i32>, tensor<8xf32>
  cond {
    %five = stablehlo.constant dense<5> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %five : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %nine = stablehlo.constant dense<9> : tensor<i32>
    %2:2 = stablehlo.while(%j = %nine, %z = %y) : tensor<i32>, tensor<8xf32>
    cond {
      %3 = stablehlo.compare LT, %limit, %j : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %3 : tensor<i1>
    } do {
      %two = stablehlo.constant dense<2> : tensor<i32>
      %4 = stablehlo.subtract %j, %two : tensor<i32>
      %5 = stablehlo.add %z, %z : tensor<8xf32>
      stablehlo.return %4, %5 : tensor<i32>, tensor<8xf32>
    }
    %one = stablehlo.constant dense<1> : tensor<i32>
    %6 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %6, %limit, %2#1 : tensor<i32>, tensor<i32>, tensor<8xf32>
  }
  return %0#2 : tensor<8xf32>
}

// -----

// The length depends on the data: counted once, and said.

// CHECK: op 3: 8 flops, {{.*}} runs 1,
// CHECK: :[[# @LINE + 3]]:{{.*}}: remark: expected a loop with a constant trip count, counted once
func.func public @unknown(%n: tensor<i32>, %x: tensor<8xf32>) -> tensor<8xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %0:2 = stablehlo.while(%i = %zero, %y = %x) : tensor<i32>, tensor<8xf32>
  cond {
    %1 = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %2 = stablehlo.add %y, %y : tensor<8xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %3 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %3, %2 : tensor<i32>, tensor<8xf32>
  }
  return %0#1 : tensor<8xf32>
}

// -----

// One branch of a case is taken: each counts once.

// CHECK: op 0: 0 flops, {{.*}} from [1 2] to []
// CHECK: op 1: 80 flops, {{.*}} runs 1, from [] to [0]
// CHECK: op 2: 80 flops, {{.*}} runs 1, from [] to [0]
func.func public @branches(%i: tensor<i32>, %x: tensor<8xf32>) -> tensor<8xf32> {
  %0 = "stablehlo.case"(%i) ({
    %1 = stablehlo.sine %x : tensor<8xf32>
    stablehlo.return %1 : tensor<8xf32>
  }, {
    %1 = stablehlo.cosine %x : tensor<8xf32>
    stablehlo.return %1 : tensor<8xf32>
  }) : (tensor<i32>) -> tensor<8xf32>
  return %0 : tensor<8xf32>
}
