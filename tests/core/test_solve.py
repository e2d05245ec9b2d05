"""The solver against brute force, and what it says when there is no answer."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from typing import Any

import pytest
from alpa_mlir._native import (
    BLOCKED_COST,
    FORBIDDEN_COST,
    ReducibleProblem,
    ShardingProblem,
    find_identical_nodes,
    find_unsummable,
)
from alpa_mlir.errors import InfeasibleError, SolverError
from alpa_mlir.intra_op.ilp import Ilp
from alpa_mlir.intra_op.solution import Solution, TracePoint
from alpa_mlir.intra_op.solve import solve
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.extent import in_part
from sharding_problems import brute_force, large_problem, small_problems


@settings(max_examples=in_part(200, 1000), deadline=None)
@given(small_problems())
def test_solve_random_problem_agrees_with_brute_force(problem: ShardingProblem) -> None:
    optimum = brute_force(problem)
    if optimum is None:
        with pytest.raises(InfeasibleError):
            solve(problem)
        return
    solution = solve(problem)
    check_statements(solution, optimum)
    assert solution.is_optimal


def check_statements(solution: Solution, optimum: int) -> None:
    """What a solution says of itself, and said on the way, is true."""
    solution.verify()
    judged = solution.problem.evaluate(solution.choices.tolist())
    assert judged.is_feasible
    assert (judged.cost, judged.peak_usage) == (solution.cost, solution.peak_usage)
    assert solution.lower_bound <= optimum <= solution.cost
    for point in solution.trace:
        assert point.lower_bound <= optimum
        assert point.cost is None or point.cost >= optimum


@settings(max_examples=in_part(80, 300), deadline=None)
@given(problem=small_problems(), stand_in=st.integers(1, 60))
def test_solve_finite_cost_for_forbidden_is_optimal(
    problem: ShardingProblem, stand_in: int
) -> None:
    document = json.loads(problem.to_json())
    for costs in document["problem"]["edges"]["costs"]:
        costs[:] = [min(cost, stand_in) for cost in costs]
    finite = ShardingProblem.from_json(json.dumps(document).encode())
    optimum = brute_force(finite)
    if optimum is None:
        with pytest.raises(InfeasibleError):
            solve(finite)
        return
    solution = solve(finite)
    check_statements(solution, optimum)
    assert solution.is_optimal


@settings(max_examples=in_part(80, 300), deadline=None)
@given(small_problems())
def test_solve_finite_cost_too_large_to_add_up(problem: ShardingProblem) -> None:
    """Written where a choice is forbidden; three of these leave what the solvers can add."""
    document = json.loads(problem.to_json())
    nodes, edges = document["problem"]["nodes"], document["problem"]["edges"]
    for costs in [*nodes["costs"], *edges["costs"]]:
        costs[:] = [min(cost, FORBIDDEN_COST - 1) for cost in costs]
    finite = ShardingProblem.from_json(json.dumps(document).encode())
    optimum = brute_force(problem)
    if optimum is not None:
        solution = solve(finite)
        solution.verify()
        assert solution.cost == solution.lower_bound == optimum
        return
    with contextlib.suppress(InfeasibleError, SolverError):
        assert solve(finite).cost >= FORBIDDEN_COST - 1


def test_solve_nothing_but_costs_too_large_to_add_up() -> None:
    problem = ShardingProblem()
    for _ in range(3):
        problem.add_node((0, 1), [FORBIDDEN_COST - 1], [0])
    with pytest.raises(SolverError, match="use a coarser unit"):
        solve(problem)


def test_find_unsummable_is_the_least_cost_to_forbid() -> None:
    problem = ShardingProblem()
    for cost in (8 * 10**16, 6 * 10**16):
        problem.add_node((0, 1), [cost, 1], [0, 0])
    assert find_unsummable(problem) is None
    problem.add_node((0, 1), [7 * 10**16, 1], [0, 0])
    assert find_unsummable(problem) == 8 * 10**16
    assert solve(problem).cost == 3


def test_ceiling_is_of_a_single_cost() -> None:
    """Parallel edges may add up to more."""
    problem = ShardingProblem()
    for _ in range(2):
        problem.add_node((0, 1), [0, 9], [0, 0])
    for _ in range(2):
        problem.add_edge(0, 1, [0, 5, 6, 7])
    core = ReducibleProblem(problem, 7).core()
    assert core.edge_costs.tolist() == [0, 10, 12, BLOCKED_COST]
    assert core.node_costs.tolist() == [0, BLOCKED_COST, 0, BLOCKED_COST]


def test_solve_optimum_beyond_what_can_be_told() -> None:
    """Bounds hold up to the costs that are not used, and no program is made of nothing."""
    problem = ShardingProblem()
    for _ in range(3):
        problem.add_node((0, 1), [4 * 10**16], [0])
    problem.add_node((0, 1), [9 * 10**16, 0], [0, 0])
    solution = solve(problem)
    assert (solution.cost, solution.lower_bound) == (12 * 10**16, 9 * 10**16)


def test_solve_without_time_takes_what_the_reductions_found() -> None:
    problem = ShardingProblem()
    problem.add_node((0, 1), [7, 5], [0, 0])
    assert solve(problem, time_limit_seconds=0).cost == 5


def test_solve_without_time_still_looks_for_an_answer() -> None:
    """On a busy machine the reductions may take all of the time."""
    problem = large_problem(0)
    reduced = ReducibleProblem(problem)
    reduced.reduce()
    assert len(reduced.core().node_offsets) > 2
    solution = solve(problem, time_limit_seconds=0)
    assert problem.evaluate(solution.choices.tolist()).is_feasible


def test_solve_any_gap_is_not_no_answer() -> None:
    """Four nodes in three colours: two are equal, which costs so much that it looks forbidden."""
    problem = ShardingProblem()
    for _ in range(4):
        problem.add_node((0, 1), [0, 0, 0], [0, 0, 0])
    for first, second in itertools.combinations(range(4), 2):
        problem.add_edge(first, second, [10**6, 0, 0, 0, 10**6, 0, 0, 0, 10**6])
    assert solve(problem, target_gap=1.0).cost == 10**6


@pytest.mark.parametrize("large", [10**12, 5 * 10**16, 5 * 10**17])
def test_solve_large_costs_are_no_dead_ends(large: int) -> None:
    """The only answers cost so much that a search could take that for forbidden."""
    problem = ShardingProblem()
    problem.usage_limit = 11
    x = problem.add_node((0, 1), [0, large], [0, 0])
    leaf = problem.add_node((0, 1), [0, large], [0, 0])
    problem.add_edge(x, leaf, [0, FORBIDDEN_COST, FORBIDDEN_COST, 0])
    others = [problem.add_node((0, 1), [0, 0, 0, 0], [3, 3, 3, 2]) for _ in range(4)]
    for node in others:
        problem.add_edge(x, node, [0, 0, 0, FORBIDDEN_COST, 0, 0, 0, 0])
    for first, second in itertools.combinations(others, 2):
        same = [FORBIDDEN_COST if a == b < 3 else 0 for a in range(4) for b in range(4)]
        problem.add_edge(first, second, same)
    optimum = brute_force(problem)
    assert optimum == 2 * large
    if large < 10**17:
        assert solve(problem).cost == optimum
        return
    with pytest.raises(SolverError, match="use a coarser unit"):
        solve(problem)


@settings(max_examples=200, deadline=None)
@given(problem=small_problems(), work_limit=st.sampled_from([1, 100, 10_000]))
def test_solve_cut_short_stays_true(problem: ShardingProblem, work_limit: int) -> None:
    optimum = brute_force(problem)
    try:
        solution = solve(problem, work_limit=work_limit)
    except InfeasibleError:
        assert optimum is None
    except SolverError:
        pass  # nothing found yet
    else:
        assert optimum is not None
        check_statements(solution, optimum)


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


@settings(max_examples=40, deadline=None)
@given(small_problems())
def test_ilp_alone_small_problem_is_optimal(problem: ShardingProblem) -> None:
    optimum = brute_force(problem)
    reduced = ReducibleProblem(problem)
    if reduced.is_infeasible:
        assert optimum is None
        return
    result = Ilp(reduced.core()).solve(time_limit_seconds=10)
    assert result.is_infeasible == (optimum is None)
    if result.choices is not None:
        judged = problem.evaluate(reduced.expand(result.choices.tolist()))
        assert judged.is_feasible
        assert judged.cost == optimum


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_solve_same_seed_any_thread_count_gives_one_answer(seed: int) -> None:
    problem = large_problem(seed, num_nodes=200)
    phases: set[str] = set()

    def note_phase(point: TracePoint) -> bool:
        phases.add(point.phase)
        return True

    first, *others = (
        solve(
            problem,
            seed=seed,
            num_threads=threads,
            work_limit=260_000_000,
            on_progress=note_phase,
        )
        for threads in (1, 2, 4)
    )
    assert "search improve" in phases  # the part with threads
    for other in others:
        assert other.choices.tolist() == first.choices.tolist()
        assert other.lower_bound == first.lower_bound


def test_solve_stopped_early_gives_a_bound() -> None:
    problem = large_problem(1)
    points: list[int | None] = []

    def stop_at_first_answer(point: object) -> bool:
        points.append(getattr(point, "cost", None))
        return points[-1] is None

    early = solve(problem, on_progress=stop_at_first_answer, work_limit=2**62)
    late = solve(problem, work_limit=300_000_000)
    assert early.lower_bound <= late.cost <= early.cost


def test_solve_stopped_during_the_ilp_gives_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class EndlessIlp:
        def __init__(self, *_: object) -> None: ...

        def solve(self, **_: object) -> None:
            release.wait()

    monkeypatch.setattr("alpa_mlir.intra_op.ilp.Ilp", EndlessIlp)
    solution = solve(
        large_problem(1, num_nodes=200),
        time_limit_seconds=2,
        on_progress=lambda point: point.phase != "ilp",
    )
    release.set()
    assert solution.lower_bound < solution.cost


@pytest.mark.parametrize(
    "limits",
    [
        {"time_limit_seconds": -1.0},
        {"time_limit_seconds": float("nan")},
        {"num_threads": 0},
        {"target_gap": -0.1},
    ],
)
def test_solve_senseless_limits_raise(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected .*at least"):
        solve(large_problem(0), **limits)


def test_solve_tied_nodes_bounds_the_whole_problem() -> None:
    problem = large_problem(2)
    free = solve(problem, work_limit=100_000_000)
    classes = find_identical_nodes(problem, radius=0)
    tied = solve(problem, tie_classes=classes, work_limit=100_000_000)
    assert tied.lower_bound <= free.cost


def test_verify_wrong_statement_raises() -> None:
    problem = large_problem(3)
    good = solve(problem, work_limit=10_000_000)
    cheaper = Solution(
        problem, good.choices, good.cost - 1, good.lower_bound, good.peak_usage, good.trace
    )
    with pytest.raises(SolverError, match=r"expected .* of the choices"):
        cheaper.verify()
    bounded = Solution(problem, good.choices, good.cost, good.cost + 1, good.peak_usage, ())
    with pytest.raises(SolverError, match="expected a lower bound of at most"):
        bounded.verify()


def test_ilp_below_the_optimum_finds_nothing_and_bounds() -> None:
    problem = large_problem(4, num_nodes=12)
    optimum = solve(problem).cost
    core = ReducibleProblem(problem).core()
    assert Ilp(core, cutoff=optimum + 1).solve(time_limit_seconds=10).choices is not None
    ilp = Ilp(core, cutoff=optimum)
    result = ilp.solve(time_limit_seconds=10)
    assert result.is_infeasible
    assert optimum - ilp.tolerance <= result.lower_bound <= optimum
