"""A chain of 200,000 ops needs no more stack than one op, and no time but its own."""

import threading

import pytest
from alpa_mlir._native import Module

NUM_OPS = 200_000
STACK_BYTES = 1 << 20
PASSES = [
    "alpa-normalize",
    "alpa-analyze-training",
    "alpa-unroll-loops{all=true}",
    "alpa-join-chunks{num-microbatches=4}",
    "alpa-split-microbatches{num-microbatches=2}",
    "alpa-print-op-graph",
]


def chain(name: str, first: str) -> Module:
    kind = "tensor<4xf32>"
    lines = [f'%0 = "stablehlo.{name}"({first}) : ({kind}) -> {kind}']
    lines += [
        f'%{i} = "stablehlo.{name}"(%{i - 1}) : ({kind}) -> {kind}' for i in range(1, NUM_OPS)
    ]
    return Module.parse(
        f"func.func public @main(%x: {kind} {{alpa.batch}}) -> {kind} {{\n"
        f'%c = "stablehlo.constant"() <{{value = dense<1.0> : {kind}}}> : () -> {kind}\n'
        + "\n".join(lines)
        + f"\nreturn %{NUM_OPS - 1} : {kind}\n}}"
    )


@pytest.mark.parametrize(("name", "first"), [("sine", "%x"), ("reshape", "%x"), ("reshape", "%c")])
def test_long_chain_needs_no_stack(name: str, first: str) -> None:
    failures: list[str] = []

    def run() -> None:
        module = chain(name, first)
        for each in PASSES:
            try:
                module.clone().run(f"builtin.module({each})")
            except RuntimeError as error:
                failures.append(f"{each}: {error}")

    before = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert failures == []
