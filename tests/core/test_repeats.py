"""Blocks that repeat: equal to trying every block."""

import pytest
from alpa_mlir._native import find_repeats
from hypothesis import given
from hypothesis import strategies as st


def weight_of_best(kinds: list[int], weights: list[float]) -> float:
    size, best = len(kinds), 0.0
    for first in range(size):
        for period in range(1, size - first):
            block, count = kinds[first : first + period], 1
            while kinds[first + count * period : first + (count + 1) * period] == block:
                count += 1
            if count > 1:
                best = max(best, sum(weights[first : first + count * period]))
    return best


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=14))
def test_finds_the_blocks_of_most_weight(ops: list[tuple[int, int]]) -> None:
    kinds, weights = [kind for kind, _ in ops], [float(weight) for _, weight in ops]
    found = find_repeats(kinds, weights)
    end = found.first + found.period * found.count
    for k in range(found.first, end - found.period):
        assert kinds[k] == kinds[k + found.period]
    assert sum(weights[found.first : end]) == weight_of_best(kinds, weights)


def test_prefers_the_shortest_block() -> None:
    found = find_repeats([9, 1, 2, 1, 2, 1, 2, 1, 2, 8], [1.0] * 10)
    assert (found.first, found.period, found.count) == (1, 2, 4)


def test_wants_a_weight_for_every_op() -> None:
    with pytest.raises(ValueError, match="expected a weight for each of 2 ops, got 1"):
        find_repeats([1, 1], [1.0])
