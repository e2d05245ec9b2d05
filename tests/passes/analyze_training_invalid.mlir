// RUN: alpa-opt %s --alpa-analyze-training --split-input-file --verify-diagnostics -o /dev/null

// expected-error@+1 {{expected one public function; run alpa-normalize first}}
module {
  func.func private @f() {
    return
  }
}

// -----

// expected-error@+1 {{expected a tensor with a static dim 0 of at least one example as batch argument 0, got 'tensor<f32>'}}
func.func public @main(%x: tensor<f32> {alpa.batch}) -> tensor<f32> {
  return %x : tensor<f32>
}
