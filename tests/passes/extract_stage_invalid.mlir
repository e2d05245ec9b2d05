// RUN: alpa-opt %s --alpa-extract-stage=stage=2 --verify-diagnostics -o /dev/null

// expected-error@+1 {{expected functions of stage 2, got none; run alpa-split-stages first}}
module {
  func.func private @stage0_forward(%x: tensor<4xf32> {alpa.value = "a0"}) attributes {alpa.phase = "forward", alpa.stage = 0 : i64} {
    return
  }
}
