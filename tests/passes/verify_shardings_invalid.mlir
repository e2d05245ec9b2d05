// RUN: alpa-opt %s --alpa-verify-shardings --split-input-file --verify-diagnostics

// expected-error @below {{expected one mesh, got 0}}
module {
  func.func public @main() { return }
}

// -----

// expected-error @below {{expected one mesh, got 2}}
module {
  sdy.mesh @a = <["x"=2]>
  sdy.mesh @b = <["x"=2]>
  func.func public @main() { return }
}

// -----

// expected-error @below {{expected a mesh of one to 3 axes, got 4}}
sdy.mesh @mesh = <["a"=2, "b"=2, "c"=2, "d"=2]>
func.func public @main() { return }

// -----

sdy.mesh @mesh = <["x"=2]>
// expected-error @below {{argument 0: expected a sharding, got none}}
func.func public @main(%arg0: tensor<4xf32>) { return }

// -----

sdy.mesh @mesh = <["x"=2]>
// expected-error @below {{result 0: expected a sharding, got none}}
func.func public @main(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>}) -> tensor<4xf32> {
  return %arg0 : tensor<4xf32>
}

// -----

sdy.mesh @mesh = <["x"=2]>
// expected-error @below {{argument 0: expected a sharding that divides 'tensor<3xf32>', got #sdy.sharding<@mesh, [{"x"}]>}}
func.func public @main(%arg0: tensor<3xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>}) { return }

// -----

sdy.mesh @mesh = <["x"=2]>
// expected-error @below {{expected no 'alpa.sharding' of argument 0 after planning: run alpa-annotate-shardings}}
func.func public @main(%arg0: tensor<4xf32> {alpa.sharding = "{x}", sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>}) { return }

// -----

sdy.mesh @mesh = <["x"=2]>
func.func public @main(%arg0: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}]>}) {
  // expected-error @below {{expected no 'alpa.results' after planning: run alpa-annotate-shardings}}
  %0 = stablehlo.sine %arg0 {alpa.results = ["{x}"]} : tensor<4xf32>
  return
}

// -----

sdy.mesh @mesh = <["x"=2, "y"=2]>
func.func public @main(%arg0: tensor<4x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x", "y"}, {}]>}) {
  // expected-error @below {{expected a reshard of one step, got {x,y},{} to {},{y}, for which XLA replicates the tensor}}
  %0 = sdy.sharding_constraint %arg0 <@mesh, [{}, {"y"}]> : tensor<4x4xf32>
  return
}
