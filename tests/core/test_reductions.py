"""Every reduction alone and all together: the optimum survives, and answers map back to it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from alpa_mlir._native import (
    BLOCKED_COST,
    CoreProblem,
    ReducibleProblem,
    ShardingProblem,
    reduction_names,
)
from alpa_mlir.intra_op.memory_rows import MemoryRows
from hypothesis import given, settings
from sharding_problems import brute_force, small_problems

REDUCTIONS = [[name] for name in reduction_names()] + [reduction_names()]


def core_cost(core: CoreProblem, choices: tuple[int, ...]) -> int | None:
    """Cost of choices of a core, or None if they are not allowed."""
    sizes = np.diff(core.node_offsets)
    costs = [int(core.node_costs[core.node_offsets[i] + p]) for i, p in enumerate(choices)]
    for e, (first, second) in enumerate(zip(core.edge_first, core.edge_second, strict=True)):
        at = core.edge_offsets[e] + choices[first] * sizes[second] + choices[second]
        costs.append(int(core.edge_costs[at]))
    fits = (MemoryRows(core).excess(np.array(choices, np.int32)) <= 0).all()
    allowed = fits and all(cost < BLOCKED_COST for cost in costs)
    return core.constant_cost + sum(costs) if allowed else None


def check_reduced(problem: ShardingProblem, names: list[str]) -> None:
    optimum = brute_force(problem)
    reduced = ReducibleProblem(problem)
    reduced.reduce(names)
    if reduced.is_infeasible:
        assert optimum is None
        return
    core = reduced.core()
    found: int | None = None
    for choices in itertools.product(*map(range, np.diff(core.node_offsets))):
        cost = core_cost(core, choices)
        if cost is None:
            continue
        judged = problem.evaluate(reduced.expand(choices))
        assert judged.is_feasible
        assert judged.cost == cost
        found = cost if found is None else min(found, cost)
    assert found == optimum


@pytest.mark.parametrize("names", REDUCTIONS, ids=["+".join(names) for names in REDUCTIONS])
@settings(max_examples=80, deadline=None)
@given(problem=small_problems())
def test_reduce_keeps_the_optimum(names: list[str], problem: ShardingProblem) -> None:
    check_reduced(problem, names)


def test_reduce_chain_leaves_nothing() -> None:
    problem = ShardingProblem()
    for _ in range(20):
        problem.add_node((0, 0), [0, 1, 2], [0, 0, 0])
    for node in range(19):
        problem.add_edge(node, node + 1, [0, 3, 1, 4, 0, 2, 5, 1, 0])
    reduced = ReducibleProblem(problem)
    reduced.reduce()
    assert len(reduced.core_nodes()) == 0
    assert problem.evaluate(reduced.expand([])).cost == reduced.core().constant_cost


def test_reduce_unknown_name_raises() -> None:
    with pytest.raises(ValueError, match='got "magic"'):
        ReducibleProblem(ShardingProblem()).reduce(["magic"])
