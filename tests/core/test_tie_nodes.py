"""Tied nodes make one choice, and the tied problem costs what the answer costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from alpa_mlir._native import ReducibleProblem, ShardingProblem, find_identical_nodes
from hypothesis import given, settings
from hypothesis import strategies as st
from sharding_problems import small_problems


def layers(count: int) -> ShardingProblem:
    """A chain of equal layers of two nodes each, between a first and a last node of their own."""
    problem = ShardingProblem()
    previous = problem.add_node((0, 1), [9, 0], [0, 0])
    for _ in range(count):
        a = problem.add_node((0, 4), [1, 2], [3, 1])
        b = problem.add_node((0, 4), [4, 3], [1, 2])
        problem.add_edge(previous, a, [0, 1, 2, 0])
        problem.add_edge(a, b, [5, 0, 0, 5])
        previous = b
    last = problem.add_node((0, 1), [0, 7], [0, 0])
    problem.add_edge(previous, last, [0, 1, 2, 0])
    return problem


def test_find_identical_nodes_sees_equal_layers() -> None:
    classes = find_identical_nodes(layers(5), radius=1)
    # The first and last layer see another neighbour.
    assert classes == [0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 4, 5]


def test_find_identical_nodes_radius_tells_more_apart() -> None:
    problem = layers(9)
    numbers = [len(set(find_identical_nodes(problem, radius=radius))) for radius in range(5)]
    assert numbers == sorted(numbers)
    assert numbers[0] == 4


@settings(max_examples=100, deadline=None)
@given(problem=small_problems(), data=st.data())
def test_tie_nodes_is_the_restriction(problem: ShardingProblem, data: st.DataObject) -> None:
    sizes = [len(problem.node_costs(node)) for node in range(problem.num_nodes)]
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(sizes), max_size=len(sizes)))
    classes = [10 * size + label for size, label in zip(sizes, labels, strict=True)]
    tied_optimum = min(
        (
            problem.evaluate(choices).cost
            for choices in itertools.product(*map(range, sizes))
            if len(set(zip(classes, choices, strict=True))) == len(set(classes))
            and problem.evaluate(choices).is_feasible
        ),
        default=None,
    )
    reduced = ReducibleProblem(problem)
    reduced.tie_nodes(classes)
    reduced.reduce()
    if reduced.is_infeasible:
        assert tied_optimum is None
        return
    core = reduced.core()
    found = [
        judged.cost
        for choices in itertools.product(*map(range, np.diff(core.node_offsets)))
        if (judged := problem.evaluate(reduced.expand(choices))).is_feasible
    ]
    assert min(found, default=None) == tied_optimum


def test_tie_nodes_of_different_sizes_raises() -> None:
    problem = ShardingProblem()
    problem.add_node((0, 1), [0], [0])
    problem.add_node((0, 1), [0, 1], [0, 0])
    with pytest.raises(ValueError, match="got 1 at node 0 and 2 at node 1"):
        ReducibleProblem(problem).tie_nodes([0, 0])
