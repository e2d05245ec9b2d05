// RUN: alpa-opt %s --alpa-annotate-shardings --alpa-verify-shardings --split-input-file | FileCheck %s

// The example of Passes.td: what the op reads is resharded, its own sharding follows from that, its result returns so.

// CHECK: sdy.mesh @mesh = <["x"=2]>
// CHECK: @main(%arg0: tensor<4x6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>}) -> (tensor<4x6xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"x"}]>})
// CHECK-NEXT: %[[R:.*]] = sdy.sharding_constraint %arg0 <@mesh, [{}, {"x"}]>
// CHECK-NEXT: %[[T:.*]] = stablehlo.tanh %[[R]] : tensor<4x6xf32>
// CHECK-NEXT: return %[[T]]
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4x6xf32> {alpa.sharding = "{x},{}"}) -> tensor<4x6xf32> {
    %0 = stablehlo.tanh %arg0 {alpa.operands = ["{},{x}"], alpa.results = ["{},{x}"]} : tensor<4x6xf32>
    return %0 : tensor<4x6xf32>
  }
}

// -----

// A product is constrained always: partial sums can end in several ways. Rules go.

// CHECK: %[[D:.*]] = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0] : (
// CHECK-NEXT: %[[C:.*]] = sdy.sharding_constraint %[[D]] <@mesh, [{"x"}, {}]>
// CHECK-NEXT: return %[[C]]
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4x6xf32> {alpa.sharding = "{},{x}"}, %arg1: tensor<6x4xf32> {alpa.sharding = "{x},{}"}) -> tensor<4x4xf32> {
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0] {alpa.operands = ["{},{x}", "{x},{}"], alpa.results = ["{x},{}"],
           sdy.sharding_rule = #sdy.op_sharding_rule<([i, k], [k, j])->([i, j]) {i=4, j=4, k=6} reduction={k}>} : (tensor<4x6xf32>, tensor<6x4xf32>) -> tensor<4x4xf32>
    return %0 : tensor<4x4xf32>
  }
}

// -----

// From {x,y},{} to {},{y} is no single step of XLA's: it goes through {x},{y}. The second reader shares both steps, and
// the state goes out as it came in. The sum is constrained so that the sharding of the state does not flow back to it.

// CHECK-LABEL: @shared
// CHECK-NEXT: %[[A:.*]] = sdy.sharding_constraint %arg0 <@mesh, [{"x"}, {"y"}]>
// CHECK-NEXT: %[[B:.*]] = sdy.sharding_constraint %[[A]] <@mesh, [{}, {"y"}]>
// CHECK-NEXT: %[[SINE:.*]] = stablehlo.sine %[[B]]
// CHECK-NEXT: stablehlo.cosine %[[B]]
// CHECK-NEXT: %[[SUM:.*]] = stablehlo.add
// CHECK-NEXT: %[[OWN:.*]] = sdy.sharding_constraint %[[SUM]] <@mesh, [{}, {"y"}]>
// CHECK-NEXT: %[[STEP:.*]] = sdy.sharding_constraint %[[OWN]] <@mesh, [{"x"}, {"y"}]>
// CHECK-NEXT: %[[BACK:.*]] = sdy.sharding_constraint %[[STEP]] <@mesh, [{"x", "y"}, {}]>
// CHECK-NEXT: return %[[BACK]]
module attributes {alpa.mesh = {axes = ["x", "y"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 0.0}, memory_bytes_per_second = 1.0e+12, sizes = [2, 2]}} {
  func.func public @shared(%arg0: tensor<4x6xf32> {alpa.sharding = "{x,y},{}", alpa.state = 0 : i64}) -> tensor<4x6xf32> {
    %0 = stablehlo.sine %arg0 {alpa.operands = ["{},{y}"], alpa.results = ["{},{y}"]} : tensor<4x6xf32>
    %1 = stablehlo.cosine %arg0 {alpa.operands = ["{},{y}"], alpa.results = ["{},{y}"]} : tensor<4x6xf32>
    %2 = stablehlo.add %0, %1 {alpa.operands = ["{},{y}", "{},{y}"], alpa.results = ["{},{y}"]} : tensor<4x6xf32>
    return %2 : tensor<4x6xf32>
  }
}

// -----

// Readers that want different things share what they can: one gather, after which a slice is local, in place of an
// all-to-all and a gather. Who reads the value as it came is not concerned.

// CHECK-LABEL: @view
// CHECK-NEXT: %[[WHOLE:.*]] = sdy.sharding_constraint %arg0 <@mesh, [{}, {}]>
// CHECK-NEXT: %[[PIECE:.*]] = sdy.sharding_constraint %[[WHOLE]] <@mesh, [{}, {"x"}]>
// CHECK-NEXT: stablehlo.sine %[[PIECE]]
// CHECK-NEXT: stablehlo.cosine %arg0
// CHECK-NEXT: stablehlo.tanh %[[WHOLE]]
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @view(%arg0: tensor<4x6xf32> {alpa.sharding = "{x},{}"}) -> (tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xf32>) {
    %0 = stablehlo.sine %arg0 {alpa.operands = ["{},{x}"], alpa.results = ["{},{x}"]} : tensor<4x6xf32>
    %1 = stablehlo.cosine %arg0 {alpa.operands = ["{x},{}"], alpa.results = ["{x},{}"]} : tensor<4x6xf32>
    %2 = stablehlo.tanh %arg0 {alpa.operands = ["{},{}"], alpa.results = ["{},{}"]} : tensor<4x6xf32>
    return %0, %1, %2 : tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xf32>
  }
}

// -----

// An axis that arrives with no operand must be put there: XLA would leave the broadcast of an argument whole.

// CHECK-LABEL: @new_axis
// CHECK-NEXT: %[[B:.*]] = stablehlo.broadcast_in_dim %arg0
// CHECK-NEXT: sdy.sharding_constraint %[[B]] <@mesh, [{"x"}, {}]>
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @new_axis(%arg0: tensor<6xf32> {alpa.sharding = "{}"}) -> tensor<4x6xf32> {
    %0 = stablehlo.broadcast_in_dim %arg0, dims = [1] {alpa.operands = ["{}"], alpa.results = ["{x},{}"]} : (tensor<6xf32>) -> tensor<4x6xf32>
    return %0 : tensor<4x6xf32>
  }
}

// -----

// What a loop carries has one sharding: the initial value (a constant here), the body's argument, what it returns.

// CHECK-LABEL: @loop
// CHECK: %[[INIT:.*]] = sdy.sharding_constraint %{{.*}} <@mesh, [{"x"}]>
// CHECK: stablehlo.while(%[[X:.*]] = %[[INIT]])
// CHECK: } do {
// CHECK: stablehlo.sine
// CHECK: %[[NEXT:.*]] = sdy.sharding_constraint %{{.*}} <@mesh, [{"x"}]>
// CHECK: stablehlo.return %[[NEXT]]
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @loop(%arg0: tensor<i1> {alpa.sharding = ""}) -> tensor<4xf32> {
    %c = stablehlo.constant dense<1.0> : tensor<4xf32>
    %0 = stablehlo.while(%x = %c) : tensor<4xf32> attributes {alpa.results = ["{x}"]}
      cond {
        stablehlo.return %arg0 : tensor<i1>
      } do {
        %1 = stablehlo.sine %x {alpa.operands = ["{}"], alpa.results = ["{}"]} : tensor<4xf32>
        stablehlo.return %1 : tensor<4xf32>
      }
    return %0 : tensor<4xf32>
  }
}

// -----

// A mesh of the user's goes; a constraint of the user's says what was chosen.

// CHECK-NOT: @old
// CHECK: sdy.mesh @mesh = <["x"=2]>
// CHECK-NOT: @old
// CHECK: %[[R:.*]] = sdy.sharding_constraint %arg0 <@mesh, [{"x"}]>
// CHECK-NEXT: sdy.sharding_constraint %[[R]] <@mesh, [{"x"}]>
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  sdy.mesh @old = <["x"=2]>
  func.func public @main(%arg0: tensor<4xf32> {alpa.sharding = "{}", sdy.sharding = #sdy.sharding<@old, [{}]>}) -> (tensor<4xf32> {sdy.sharding = #sdy.sharding<@old, [{?}]>}) {
    %0 = sdy.sharding_constraint %arg0 <@old, [{?}]> {alpa.operands = ["{x}"], alpa.results = ["{x}"]} : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}


// -----

// A sum in parts: neither what is added nor the sum is reduced, and neither is split by x, as it is to be in the end.

// CHECK: @main({{.*}}%arg2: tensor<4x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}], unreduced={"x"}>})
// CHECK-SAME: -> (tensor<4x4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}], unreduced={"x"}>})
// CHECK-NEXT: %[[D:.*]] = stablehlo.dot_general %arg0, %arg1
// CHECK-NEXT: %[[PART:.*]] = sdy.sharding_constraint %[[D]] <@mesh, [{}, {}], unreduced={"x"}>
// CHECK-NEXT: %[[SUM:.*]] = stablehlo.add %arg2, %[[PART]]
// CHECK-NEXT: %[[R:.*]] = sdy.sharding_constraint %[[SUM]] <@mesh, [{}, {}], unreduced={"x"}>
// CHECK-NEXT: return %[[R]]
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<4x6xf32> {alpa.sharding = "{},{x}"}, %arg1: tensor<6x4xf32> {alpa.sharding = "{x},{}"}, %arg2: tensor<4x4xf32> {alpa.sharding = "{x},{}", alpa.unreduced = "x"})
      -> (tensor<4x4xf32> {alpa.sharding = "{x},{}", alpa.unreduced = "x"}) {
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0] {alpa.operands = ["{},{x}", "{x},{}"], alpa.results = ["{x},{}"], alpa.unreduced = "x"} : (tensor<4x6xf32>, tensor<6x4xf32>) -> tensor<4x4xf32>
    %1 = stablehlo.add %arg2, %0 {alpa.results = ["{x},{}"], alpa.unreduced = "x"} : tensor<4x4xf32>
    return %1 : tensor<4x4xf32>
  }
}

// -----

// A convolution that rounds to 16 bits computes in them. What it leaves in parts is widened in parts, and added to the sum.

// CHECK: %[[C:.*]] = stablehlo.convolution{{.*}} -> tensor<3x2x2xbf16>
// CHECK-NOT: alpa.rounds_to
// CHECK-NEXT: %[[PART:.*]] = sdy.sharding_constraint %[[C]] <@mesh, [{}, {}, {}], unreduced={"x"}> : tensor<3x2x2xbf16>
// CHECK-NEXT: %[[WIDE:.*]] = stablehlo.convert %[[PART]] : (tensor<3x2x2xbf16>) -> tensor<3x2x2xf32>
// CHECK-NEXT: %[[P:.*]] = sdy.sharding_constraint %[[WIDE]] <@mesh, [{}, {}, {}], unreduced={"x"}> : tensor<3x2x2xf32>
// CHECK-NEXT: %[[SUM:.*]] = stablehlo.add %arg1, %[[P]] : tensor<3x2x2xf32>
// CHECK-NEXT: %[[R:.*]] = sdy.sharding_constraint %[[SUM]] <@mesh, [{}, {}, {}], unreduced={"x"}>
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<8x7x2xbf16> {alpa.sharding = "{x},{},{}"}, %arg1: tensor<3x2x2xf32> {alpa.sharding = "{},{},{}", alpa.unreduced = "x"})
      -> (tensor<3x2x2xf32> {alpa.sharding = "{},{},{}", alpa.unreduced = "x"}) {
    %0 = stablehlo.convolution(%arg0, %arg0) dim_numbers = [f, 0, b]x[i, 0, o]->[0, b, f], window = {pad = [[1, 1]]} {alpa.operands = ["{x},{},{}", "{x},{},{}"], alpa.results = ["{},{},{}"], alpa.rounds_to = bf16, alpa.unreduced = "x", batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<8x7x2xbf16>, tensor<8x7x2xbf16>) -> tensor<3x2x2xf32>
    %1 = stablehlo.add %arg1, %0 {alpa.results = ["{},{},{}"], alpa.unreduced = "x"} : tensor<3x2x2xf32>
    return %1 : tensor<3x2x2xf32>
  }
}

// -----

// Reduced at once, it is reduced as it was rounded.

// CHECK: %[[C:.*]] = stablehlo.convolution{{.*}} -> tensor<3x2x2xbf16>
// CHECK-NEXT: %[[WHOLE:.*]] = sdy.sharding_constraint %[[C]] <@mesh, [{}, {}, {}]> : tensor<3x2x2xbf16>
// CHECK-NEXT: %[[WIDE:.*]] = stablehlo.convert %[[WHOLE]] : (tensor<3x2x2xbf16>) -> tensor<3x2x2xf32>
// CHECK-NEXT: return %[[WIDE]]
module attributes {alpa.mesh = {axes = ["x"], devices_per_node = 8, has_reduce_scatter = true, inter_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, intra_node = {bytes_per_second = 1.0e+11, latency_seconds = 1.0e-05}, memory_bytes_per_second = 1.0e+12, sizes = [2]}} {
  func.func public @main(%arg0: tensor<8x7x2xbf16> {alpa.sharding = "{x},{},{}"}) -> tensor<3x2x2xf32> {
    %0 = stablehlo.convolution(%arg0, %arg0) dim_numbers = [f, 0, b]x[i, 0, o]->[0, b, f], window = {pad = [[1, 1]]} {alpa.operands = ["{x},{},{}", "{x},{},{}"], alpa.results = ["{},{},{}"], alpa.rounds_to = bf16, batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<8x7x2xbf16>, tensor<8x7x2xbf16>) -> tensor<3x2x2xf32>
    return %0 : tensor<3x2x2xf32>
  }
}
