// RUN: alpa-opt %s --alpa-print-op-graph --split-input-file --verify-diagnostics -o /dev/null

// expected-error@+1 {{expected one public function; run alpa-normalize first}}
module {
  func.func private @f() {
    return
  }
}

// -----

func.func public @f() {
  return
}
// expected-error@+1 {{expected one public function; run alpa-normalize first}}
func.func public @g() {
  return
}

// -----

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected a function without calls; run alpa-normalize first}}
  %0 = func.call @f(%arg0) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}
func.func private @f(%arg0: tensor<f32>) -> tensor<f32> {
  return %arg0 : tensor<f32>
}

// -----

// expected-error@+1 {{expected a tensor with a static dim 0 of at least one example as batch argument 0, got 'tensor<f32>'}}
func.func public @main(%arg0: tensor<f32> {alpa.batch}) -> tensor<f32> {
  return %arg0 : tensor<f32>
}
