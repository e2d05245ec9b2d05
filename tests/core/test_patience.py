"""A search ends when nothing better has come for long, after the same work on every machine."""

import time

import pytest
from alpa_mlir.intra_op.solution import TracePoint
from alpa_mlir.intra_op.solve import solve
from sharding_problems import large_problem

PATIENCE = 100_000_000


def dawdle(_: TracePoint) -> bool:
    time.sleep(0.02)
    return True


def test_search_ends_with_a_proof_where_that_comes_first() -> None:
    solution = solve(large_problem(1, num_nodes=60), patience=PATIENCE, on_progress=dawdle)
    assert solution.is_optimal


def test_what_time_ends_says_so() -> None:
    """Work is the same every time, what time allows is not."""
    problem = large_problem(2, num_nodes=75)
    by_time = solve(problem, time_limit_seconds=0.2, num_threads=1)
    by_work = solve(problem, work_limit=50_000_000, num_threads=1)
    assert by_time.gap > 0 < by_work.gap
    assert by_time.is_out_of_time
    assert not by_work.is_out_of_time


@pytest.mark.slow
def test_search_without_better_answers_ends_alike_on_a_busy_machine() -> None:
    problem = large_problem(2, num_nodes=75)
    idle, *others = (
        solve(
            problem,
            patience=PATIENCE,
            num_threads=num_threads,
            time_limit_seconds=600,
            on_progress=on_progress,
        )
        for num_threads, on_progress in ((1, None), (1, dawdle), (3, dawdle))
    )
    assert idle.lower_bound < idle.cost
    assert not idle.is_out_of_time
    assert idle.trace[-1].seconds < 200  # the proof takes longer than that
    for busy in others:
        assert busy.choices.tolist() == idle.choices.tolist()
        assert busy.lower_bound == idle.lower_bound
