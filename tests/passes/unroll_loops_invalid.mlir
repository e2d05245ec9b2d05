// RUN: alpa-opt %s --alpa-unroll-loops=max-trip-count=4 --split-input-file --verify-diagnostics -o /dev/null

func.func public @too_long(%w: tensor<5xf32>) -> tensor<1xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %start = stablehlo.constant dense<1.0> : tensor<1xf32>
  // expected-remark@+1 {{expected a loop that reads stacked weights to run at most 4 times, got 5; it stays a loop (max-trip-count=5 unrolls it)}}
  %0:2 = stablehlo.while(%i = %zero, %h = %start) : tensor<i32>, tensor<1xf32>
  cond {
    %five = stablehlo.constant dense<5> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %five : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %1 = stablehlo.dynamic_slice %w, %i, sizes = [1] : (tensor<5xf32>, tensor<i32>) -> tensor<1xf32>
    %2 = stablehlo.multiply %h, %1 : tensor<1xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %3 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %3, %2 : tensor<i32>, tensor<1xf32>
  }
  return %0#1 : tensor<1xf32>
}

// -----

func.func public @unknown_length(%w: tensor<5xf32>, %n: tensor<i32>) -> tensor<1xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %start = stablehlo.constant dense<1.0> : tensor<1xf32>
  // expected-remark@+1 {{expected a loop that reads stacked weights to run at most 4 times, got a number that is no constant; it stays a loop (lax.scan and fori_loop with constant bounds have one)}}
  %0:2 = stablehlo.while(%i = %zero, %h = %start) : tensor<i32>, tensor<1xf32>
  cond {
    %1 = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %1 = stablehlo.dynamic_slice %w, %i, sizes = [1] : (tensor<5xf32>, tensor<i32>) -> tensor<1xf32>
    %2 = stablehlo.multiply %h, %1 : tensor<1xf32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %3 = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %3, %2 : tensor<i32>, tensor<1xf32>
  }
  return %0#1 : tensor<1xf32>
}

// -----

// expected-error@+1 {{expected one public function; run alpa-normalize first}}
module {
  func.func private @f() {
    return
  }
}
