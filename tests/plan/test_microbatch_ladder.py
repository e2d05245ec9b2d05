"""Which numbers of microbatches are searched."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from alpa_mlir.inter_op.microbatches import climb, microbatch_ladder
from hypothesis import given
from hypothesis import strategies as st

LADDER = [1, 2, 4, 8, 16, 32, 64]


@given(st.integers(1, 5000))
def test_ladder_is_of_divisors_that_double_at_least(batch_size: int) -> None:
    ladder = microbatch_ladder(batch_size)
    assert ladder[0] == 1
    assert ladder[-1] == batch_size
    assert all(batch_size % number == 0 for number in ladder)
    for one, following in pairwise(ladder):
        between = range(2 * one, following)
        assert following >= 2 * one
        assert not any(batch_size % number == 0 for number in between)


def asked(seconds: dict[int, float], first: int) -> list[int]:
    order: list[int] = []

    def ask(number: int) -> float:
        order.append(number)
        return seconds.get(number, inf)

    climb(ask, LADDER, first)
    return order


@given(st.permutations(range(10, 17)), st.integers(0, 6))
def test_climb_ends_above_what_is_fastest_of_all_tried(times: list[float], first: int) -> None:
    seconds = dict(zip(LADDER, times, strict=True))
    tried = asked(seconds, first)
    best = LADDER.index(min(tried, key=lambda number: seconds[number]))
    assert tried[0] == LADDER[first]
    assert best + 1 == len(LADDER) or LADDER[best + 1] in tried


@pytest.mark.parametrize("best", LADDER)
@pytest.mark.parametrize("first", range(7))
def test_climb_finds_the_best_of_one_valley_from_below(best: int, first: int) -> None:
    seconds = {number: 10.0 + abs(LADDER.index(best) - k) for k, number in enumerate(LADDER)}
    tried = asked(seconds, first)
    assert best in tried or LADDER.index(best) < first - 1
    assert len(tried) == len(set(tried))


def test_climb_goes_up_to_what_fits() -> None:
    assert asked({64: 1.0}, 3) == [8, 16, 32, 64]
    assert asked({}, 3) == [8, 16, 32, 64]


def test_climb_goes_one_down_where_up_is_slower() -> None:
    assert asked({1: 3.0, 2: 1.0, 4: 2.0, 8: 3.0, 16: 4.0}, 3) == [8, 16, 4]
    assert asked({32: 1.0, 64: 1.0}, 6) == [64, 32]
    assert asked({4: 1.0, 8: 3.0, 16: 2.0, 32: 2.0}, 3) == [8, 16, 32]


def test_little_gain_ends_the_climb() -> None:
    assert asked({4: 0.5, 8: 2.0, 16: 1.0, 32: 0.999, 64: 0.5}, 3) == [8, 16, 32]
