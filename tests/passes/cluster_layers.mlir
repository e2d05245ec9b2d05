// RUN: alpa-opt %s --alpa-cluster-layers=num-layers=2 --split-input-file | FileCheck %s
// RUN: alpa-opt %s --alpa-cluster-layers=num-layers=2 --split-input-file -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: alpa-opt %s --alpa-cluster-layers=num-layers=1 --split-input-file | FileCheck %s --check-prefix=ONE

// ONE-NOT: alpa.layer = {{[1-9]}}

// REMARK: remark: 2 layers, 128 bytes cross forward; flops 512, 512
// CHECK-LABEL: func.func private @microbatch
// CHECK: %0 = stablehlo.dot_general %arg0, %arg1, {{.*}}alpa.layer = 0 : i64, alpa.phase = "forward"
// CHECK: %1 = stablehlo.dot_general %0, %arg2, {{.*}}alpa.layer = 1 : i64, alpa.phase = "forward"
// CHECK: %2 = stablehlo.dot_general %0, %1, {{.*}}alpa.layer = 1 : i64, alpa.phase = "backward"
// Where its parameter is, though what reads it is in layer 0.
// CHECK: %3 = stablehlo.dot_general %1, %arg2, {{.*}}alpa.layer = 1 : i64, alpa.phase = "backward"
// CHECK: %4 = stablehlo.dot_general %arg0, %3, {{.*}}alpa.layer = 0 : i64, alpa.phase = "backward"
// CHECK: %5 = stablehlo.add %arg3, %4 {alpa.gradient_of = [0], alpa.layer = 0 : i64
// CHECK: %6 = stablehlo.add %arg4, %2 {alpa.gradient_of = [1], alpa.layer = 1 : i64
// CHECK-LABEL: func.func private @update
// CHECK: subtract %arg0, %arg2 {alpa.layer = 0 : i64}
// CHECK: subtract %arg1, %arg3 {alpa.layer = 1 : i64}
func.func private @microbatch(%x: tensor<4x8xf32> {alpa.argument = 2 : i64, alpa.batch, alpa.role = "batch"}, %w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.accumulator = 0 : i64}, tensor<8x8xf32> {alpa.accumulator = 1 : i64}) {
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = stablehlo.dot_general %0, %v, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %2 = stablehlo.dot_general %0, %1, contracting_dims = [0] x [0] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %3 = stablehlo.dot_general %1, %v, contracting_dims = [1] x [1] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %4 = stablehlo.dot_general %x, %3, contracting_dims = [0] x [0] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %5 = stablehlo.add %dw, %4 {alpa.gradient_of = [0], alpa.phase = "backward"} : tensor<8x8xf32>
  %6 = stablehlo.add %dv, %2 {alpa.gradient_of = [1], alpa.phase = "backward"} : tensor<8x8xf32>
  return %5, %6 : tensor<8x8xf32>, tensor<8x8xf32>
}
func.func private @update(%w: tensor<8x8xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}, %dv: tensor<8x8xf32> {alpa.accumulator = 1 : i64}) -> (tensor<8x8xf32> {alpa.result = 0 : i64}, tensor<8x8xf32> {alpa.result = 1 : i64}) {
  %0 = stablehlo.subtract %w, %dw : tensor<8x8xf32>
  %1 = stablehlo.subtract %v, %dv : tensor<8x8xf32>
  return %0, %1 : tensor<8x8xf32>, tensor<8x8xf32>
}

// -----

// A mask made from nothing has no layer; random bits go to the one layer that reads them, the key's halves to none. An op
// without a phase has that of its readers.

// CHECK-LABEL: func.func private @microbatch
// CHECK: iota dim = 1 {alpa.phase = "forward"}
// CHECK: %[[MASK:.*]] = stablehlo.compare {{.*}} {alpa.phase = "forward"}
// CHECK: %[[KEY:.*]] = stablehlo.reshape %arg3 {alpa.phase = "forward"}
// CHECK: %{{.*}}, %{{.*}} = stablehlo.rng_bit_generator %[[KEY]], {{.*}}alpa.layer = 0
// CHECK: dot_general{{.*}}alpa.layer = 0
// CHECK: select{{.*}}alpa.layer = 0
// CHECK: dot_general{{.*}}alpa.layer = 1
// CHECK: select %[[MASK]]{{.*}}alpa.layer = 1
// CHECK: bitcast_convert %[[KEY]] {alpa.layer = 1
func.func private @microbatch(%x: tensor<4x4xf32> {alpa.argument = 2 : i64, alpa.batch, alpa.role = "batch"}, %w: tensor<4x4xf32> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<4x4xf32> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %key: tensor<2x1xui64> {alpa.argument = 3 : i64, alpa.role = "optimizer state"}) -> (tensor<4x4xf32> {alpa.result = 0 : i64}, tensor<4x4xf32> {alpa.result = 1 : i64}) {
  %i = stablehlo.iota dim = 0 {alpa.phase = "forward"} : tensor<4x4xi32>
  %j = stablehlo.iota dim = 1 : tensor<4x4xi32>
  %mask = stablehlo.compare GE, %i, %j : (tensor<4x4xi32>, tensor<4x4xi32>) -> tensor<4x4xi1>
  %flat = stablehlo.reshape %key {alpa.phase = "forward"} : (tensor<2x1xui64>) -> tensor<2xui64>
  %state, %bits = stablehlo.rng_bit_generator %flat, algorithm = DEFAULT {alpa.phase = "forward"} : (tensor<2xui64>) -> (tensor<2xui64>, tensor<4x4xui32>)
  %zeros = stablehlo.constant {alpa.phase = "forward"} dense<0> : tensor<4x4xui32>
  %kept = stablehlo.compare EQ, %bits, %zeros {alpa.phase = "forward"} : (tensor<4x4xui32>, tensor<4x4xui32>) -> tensor<4x4xi1>
  %zero = stablehlo.constant {alpa.phase = "forward"} dense<0.0> : tensor<4x4xf32>
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %masked = stablehlo.select %mask, %0, %zero {alpa.phase = "forward"} : tensor<4x4xi1>, tensor<4x4xf32>
  %1 = stablehlo.select %kept, %masked, %zero {alpa.phase = "forward"} : tensor<4x4xi1>, tensor<4x4xf32>
  %2 = stablehlo.dot_general %1, %v, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %3 = stablehlo.select %mask, %2, %zero {alpa.phase = "forward"} : tensor<4x4xi1>, tensor<4x4xf32>
  %salt = stablehlo.bitcast_convert %flat {alpa.phase = "forward"} : (tensor<2xui64>) -> tensor<2x2xf32>
  %start = stablehlo.constant {alpa.phase = "forward"} dense<0> : tensor<i32>
  %4 = stablehlo.dynamic_update_slice %3, %salt, %start, %start {alpa.phase = "forward"} : (tensor<4x4xf32>, tensor<2x2xf32>, tensor<i32>, tensor<i32>) -> tensor<4x4xf32>
  return %1, %4 : tensor<4x4xf32>, tensor<4x4xf32>
}
func.func private @update(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}

// -----

// All parameters are cast first, which would make their casts cross: each op comes right before it is needed instead. Of
// two cotangents, their sum crosses.

// REMARK: remark: 2 layers, 128 bytes cross forward; flops 512, 512
// CHECK-LABEL: func.func private @microbatch
// CHECK: convert %arg1 {alpa.layer = 0
// CHECK: convert %arg2 {alpa.layer = 1
// CHECK: %[[CT:.*]] = stablehlo.dot_general {{.*}}alpa.layer = 1 : i64, alpa.phase = "backward"
// CHECK: multiply %[[CT]]{{.*}} {alpa.layer = 1
// CHECK: add {{.*}} {alpa.layer = 1
// CHECK: dot_general{{.*}}alpa.layer = 0
// CHECK: add{{.*}}alpa.layer = 0
func.func private @microbatch(%x: tensor<4x8xf32> {alpa.argument = 2 : i64, alpa.batch, alpa.role = "batch"}, %w: tensor<8x8xf64> {alpa.argument = 0 : i64, alpa.role = "parameter"}, %v: tensor<8x8xf64> {alpa.argument = 1 : i64, alpa.role = "parameter"}, %dw: tensor<8x8xf32> {alpa.accumulator = 0 : i64}) -> (tensor<8x8xf32> {alpa.accumulator = 0 : i64}) {
  %w32 = stablehlo.convert %w {alpa.phase = "forward"} : (tensor<8x8xf64>) -> tensor<8x8xf32>
  %v32 = stablehlo.convert %v {alpa.phase = "forward"} : (tensor<8x8xf64>) -> tensor<8x8xf32>
  %0 = stablehlo.dot_general %x, %w32, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %1 = stablehlo.dot_general %0, %v32, contracting_dims = [1] x [0] {alpa.phase = "forward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %2 = stablehlo.dot_general %1, %v32, contracting_dims = [1] x [1] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %3 = stablehlo.multiply %2, %1 {alpa.phase = "backward"} : tensor<4x8xf32>
  %4 = stablehlo.add %2, %3 {alpa.phase = "backward"} : tensor<4x8xf32>
  %5 = stablehlo.dot_general %x, %4, contracting_dims = [0] x [0] {alpa.phase = "backward"} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
  %6 = stablehlo.add %dw, %5 {alpa.gradient_of = [0], alpa.phase = "backward"} : tensor<8x8xf32>
  return %6 : tensor<8x8xf32>
}
func.func private @update(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}
