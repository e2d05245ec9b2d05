"""XLA does what every strategy of every kind of op says: numbers, collectives and their bytes."""

from itertools import product

import pytest
from oracles.extent import each_nth
from oracles.strategy_conformance import StrategyTrial
from programs.op_cases import CASES

MESHES = [(4,), (2, 2), (2, 4)]

# XLA's CPU has no collectives in bf16: it converts to f32, so that the bytes are twice as many.
IN_F32_ON_CPU = {"product_bf16"}


@pytest.mark.parametrize(("name", "mesh_shape"), each_nth(2, list(product(CASES, MESHES))))
def test_strategies_do_what_they_say(name: str, mesh_shape: tuple[int, ...]) -> None:
    faults = {}
    for outcome in StrategyTrial(CASES[name], mesh_shape).outcomes():
        scale = 2 if name in IN_F32_ON_CPU else 1
        faults[outcome.strategy] = outcome.faults(byte_scale=scale)
    assert not {strategy: found for strategy, found in faults.items() if found}


# Not the embedding's gradient: over its columns XLA sends the updates around instead of their sums.
@pytest.mark.parametrize("name", ["product", "batched_product", "reduce_sum"])
def test_partial_sums_scattered_over_a_dim_are_the_whole_sums(name: str) -> None:
    outcomes = list(StrategyTrial(CASES[name], (4,), has_reduce_scatter=True).outcomes())
    assert any(">" in outcome.strategy for outcome in outcomes)
    assert not {o.strategy: o.faults() for o in outcomes if o.faults()}
