// RUN: alpa-opt %s --alpa-normalize --split-input-file --verify-diagnostics

// expected-error@+1 {{expected one public function, got none}}
module {
  func.func private @f() {
    return
  }
}

// -----

// expected-error@+1 {{expected one public function, got @f, @g}}
module {
  func.func public @f() {
    return
  }
  func.func @g() {
    return
  }
}

// -----

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  %0 = func.call @f(%arg0) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}
func.func private @f(%arg0: tensor<f32>) -> tensor<f32> {
  %0 = func.call @g(%arg0) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}
func.func private @g(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected calls without recursion, got @f -> @g -> @f}}
  %0 = func.call @f(%arg0) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-error@+1 {{expected a callee with a body of one block, got @f with 0}}
  %0 = func.call @f(%arg0) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}
func.func private @f(tensor<f32>) -> tensor<f32>

// -----

func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
  // expected-note@+2 {{see current operation}}
  // expected-error@+1 {{'absent' does not reference a valid function}}
  %0 = func.call @absent(%arg0) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}
