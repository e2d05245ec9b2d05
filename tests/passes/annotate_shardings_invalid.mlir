// RUN: alpa-opt %s --alpa-annotate-shardings --split-input-file --verify-diagnostics

// expected-error @below {{expected 'alpa.mesh' on the module, got none: run alpa-choose-strategies first}}
module {
  func.func public @main() { return }
}

// -----

// expected-error @below {{expected 'alpa.mesh' with distinct axes, their sizes, devices_per_node, latency_seconds and bytes_per_second of intra_node and inter_node, has_reduce_scatter and memory_bytes_per_second, got}}
module attributes {alpa.mesh = {axes = ["x", "x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2, 2]}} {
  func.func public @main() { return }
}

// -----

module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @below {{expected a sharding such as {x},{}, got '{y}': the mesh has no axis 'y'}}
    %0 = stablehlo.sine %arg0 {alpa.operands = ["{y}"]} : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}

// -----

module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @below {{expected a sharding of 1 dims, got "{},{x}"}}
    %0 = stablehlo.sine %arg0 {alpa.results = ["{},{x}"]} : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}

// -----

module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @below {{expected a sharding such as "{x},{}", got 3}}
    %0 = stablehlo.sine %arg0 {alpa.results = [3]} : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}

// -----

module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @below {{expected 'alpa.operands' to list 1 shardings, got ["{}", "{}"]}}
    %0 = stablehlo.sine %arg0 {alpa.operands = ["{}", "{}"]} : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}

// -----

module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  // expected-error @below {{argument 0: expected a sharding that divides 'tensor<3xf32>', got "{x}"}}
  func.func public @main(%arg0: tensor<3xf32> {alpa.sharding = "{x}"}) -> tensor<3xf32> {
    return %arg0 : tensor<3xf32>
  }
}

// -----

module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @below {{expected 'alpa.unreduced' to name axes of the mesh, each once, got "x,z"}}
    %0 = stablehlo.sine %arg0 {alpa.results = ["{}"], alpa.unreduced = "x,z"} : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}

// -----

module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  // expected-error @below {{argument 0: expected 'alpa.unreduced' to be a string, got 1 : i64}}
  func.func public @main(%arg0: tensor<4xf32> {alpa.sharding = "{}", alpa.unreduced = 1 : i64}) -> tensor<4xf32> {
    return %arg0 : tensor<4xf32>
  }
}
