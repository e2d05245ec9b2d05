"""XLA does what strategies of common ops say. All others: tests/slow/test_all_strategies.py."""

import pytest
from oracles.strategy_conformance import StrategyTrial
from programs.op_cases import CASES

QUICK = [
    "product",
    "product_of_several_contractions",
    "reduce_sum",
    "argmax",
    "broadcast",
    "merge_dims",
    "concatenate",
    "embedding",
    "dynamic_update_slice",
    "convolution_kernel_gradient",
]


@pytest.mark.parametrize("name", QUICK)
def test_strategies_do_what_they_say(name: str) -> None:
    faults = {
        o.strategy: o.faults() for o in StrategyTrial(CASES[name], (2, 2)).outcomes() if o.faults()
    }
    assert not faults


def test_partial_sums_scattered_over_a_dim_are_the_whole_sums() -> None:
    outcomes = list(StrategyTrial(CASES["product"], (4,), has_reduce_scatter=True).outcomes())
    assert any(">" in outcome.strategy for outcome in outcomes)
    assert not {o.strategy: o.faults() for o in outcomes if o.faults()}
