"""The solver against brute force, and what it says when there is no answer."""

from __future__ import annotations

import pytest
from alpa_mlir._native import FORBIDDEN_COST, ShardingProblem
from alpa_mlir.errors import InfeasibleError
from alpa_mlir.intra_op.solve import solve
from hypothesis import given, settings
from sharding_problems import brute_force, small_problems


@settings(max_examples=60, deadline=None)
@given(small_problems())
def test_solve_small_problem_is_optimal(problem: ShardingProblem) -> None:
    optimum = brute_force(problem)
    if optimum is None:
        with pytest.raises(InfeasibleError):
            solve(problem)
        return
    solution = solve(problem)
    assert solution.cost == optimum
    assert solution.lower_bound == optimum


def test_solve_too_little_memory_says_how_much_is_missing() -> None:
    problem = ShardingProblem()
    problem.usage_limit = 10
    problem.add_node((5, 9), [0, 1], [12, 13])
    with pytest.raises(InfeasibleError, match="2 bytes are missing at time 5"):
        solve(problem)


def test_solve_everything_forbidden_is_infeasible() -> None:
    problem = ShardingProblem()
    problem.add_node((0, 1), [FORBIDDEN_COST], [0])
    with pytest.raises(InfeasibleError):
        solve(problem)
