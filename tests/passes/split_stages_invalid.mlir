// RUN: alpa-opt %s --alpa-split-stages=first-layers=0,1 --split-input-file --verify-diagnostics -o /dev/null

// expected-error@+1 {{expected a function @microbatch; run alpa-split-microbatches and alpa-cluster-layers first}}
module {
  func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    return %x : tensor<4xf32>
  }
}

// -----

// expected-error@+1 {{expected ops with 'alpa.layer', got none; run alpa-cluster-layers first}}
module {
  func.func private @microbatch() {
    return
  }
  func.func private @update() {
    return
  }
}

// -----

// expected-error@+1 {{expected first-layers that ascend from 0 and are below 1, the number of layers, got 0, 1}}
module {
  func.func private @microbatch(%x: tensor<4xf32>) -> (tensor<4xf32> {alpa.result = 0 : i64}) {
    %0 = stablehlo.sine %x {alpa.layer = 0 : i64} : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
  func.func private @update() {
    return
  }
}

// -----

func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) -> (tensor<4xf32> {alpa.result = 0 : i64}) {
  %0 = stablehlo.sine %x {alpa.layer = 1 : i64} : tensor<4xf32>
  // expected-error@+1 {{expected 'stablehlo.cosine' in 'stage0_forward' to read values of earlier parts only, got one that 'stablehlo.sine' makes in 'stage1_forward'}}
  %1 = stablehlo.cosine %0 {alpa.layer = 0 : i64} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @update() {
  return
}

// -----

// expected-error@+1 {{expected one of alpa.argument, alpa.prologue, alpa.accumulator, alpa.microbatch on argument 0 of @microbatch, got none}}
func.func private @microbatch(%x: tensor<4xf32>) -> (tensor<4xf32> {alpa.result = 0 : i64}) {
  %0 = stablehlo.sine %x {alpa.layer = 1 : i64} : tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @update() {
  return
}

// -----

// expected-error@+1 {{expected an integer 'alpa.result' on result 0 of @microbatch, got none}}
func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) -> tensor<4xf32> {
  %0 = stablehlo.sine %x {alpa.layer = 1 : i64} : tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @update() {
  return
}

// -----

// expected-error@+1 {{expected result 0 of @microbatch ('alpa.accumulator') to be made by an op that combines it with one part}}
func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) -> (tensor<4xf32> {alpa.accumulator = 0 : i64}) {
  %0 = stablehlo.sine %x {alpa.layer = 1 : i64} : tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func private @update() {
  return
}

// -----

func.func private @microbatch(%x: tensor<4xf32> {alpa.argument = 0 : i64}) -> (tensor<4xf32> {alpa.result = 0 : i64}) {
  // expected-error@+1 {{expected no call in @microbatch, got one of @f; run alpa-normalize first}}
  %0 = call @f(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %1 = stablehlo.sine %0 {alpa.layer = 1 : i64} : tensor<4xf32>
  return %1 : tensor<4xf32>
}
func.func private @f(tensor<4xf32>) -> tensor<4xf32>
func.func private @update() {
  return
}
