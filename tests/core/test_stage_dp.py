"""The stage DP: equal to trying everything, and the choice among microbatches and schedules."""

from __future__ import annotations

import dataclasses

import pytest
from alpa_mlir._native import ScheduleKind, StageProblem
from alpa_mlir.errors import ArgumentError, InfeasibleError, SolverError
from alpa_mlir.inter_op.choose import choose_stages
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_problems import (
    KINDS,
    brute_force,
    candidate,
    small_stage_problems,
    stage_problem,
    submeshes,
)


@settings(max_examples=300)
@given(small_stage_problems())
def test_solve_equals_brute_force(problem: StageProblem) -> None:
    expected = brute_force(problem)
    stages = problem.solve()
    if expected is None:
        assert stages is None
    else:
        assert stages is not None
        assert problem.evaluate(stages).step_seconds == pytest.approx(expected, rel=1e-12)
        assert problem.solve(cutoff_seconds=expected * (1 - 1e-9)) is None


@settings(max_examples=50)
@given(st.lists(small_stage_problems(), max_size=4))
def test_choose_stages_takes_the_fastest_problem(problems: list[StageProblem]) -> None:
    optima = [seconds for seconds in map(brute_force, problems) if seconds is not None]
    if not optima:
        with pytest.raises(InfeasibleError, match="more microbatches"):
            choose_stages(problems)
        return
    plan = choose_stages(problems)
    plan.verify()
    assert plan.step_seconds == pytest.approx(min(optima), rel=1e-12)


def deep_problem(
    kind: ScheduleKind, memory_limit_bytes: int, num_microbatches: int = 8
) -> StageProblem:
    """Four equal layers on four devices: one stage, or one layer each on one device."""
    candidates = [candidate(0, 4, 2, compute_seconds=1.25, resident_bytes=4, activation_bytes=1)]
    candidates += [
        candidate(layer, layer + 1, 0, resident_bytes=4, activation_bytes=2) for layer in range(4)
    ]
    return stage_problem(
        4,
        (1, 4),
        candidates,
        memory_limit_bytes=memory_limit_bytes,
        num_microbatches=num_microbatches,
        schedule=kind,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_memory_in_flight_decides_the_number_of_stages(kind: ScheduleKind) -> None:
    """Stage 0 of 4 holds 8 (GPipe), 4 (1F1B), 7 (eager) or 1 microbatches of 2 bytes."""
    needed = {"GPIPE": 20, "ONE_F_ONE_B": 12, "EAGER_ONE_F_ONE_B": 18, "INFERENCE": 6}[kind.name]
    # Eight rounds of 1.25 s against a latency of 4 s and seven rounds of 1 s: one stage wins...
    assert deep_problem(kind, needed).solve() == [0]
    # ... with many microbatches four do, where they fit.
    in_flight = 64 if kind == ScheduleKind.GPIPE else 8
    needed = 4 + 2 * 64 if in_flight == 64 else needed
    assert deep_problem(kind, needed, 64).solve() == [1, 2, 3, 4]
    single = [0] if kind != ScheduleKind.GPIPE or needed - 1 >= 4 + 64 else None
    assert deep_problem(kind, needed - 1, 64).solve() == single


def test_choose_stages_prefers_a_schedule_that_hides_transfers() -> None:
    def problem(kind: ScheduleKind, memory_limit_bytes: int) -> StageProblem:
        layers = [candidate(i, i + 1, 0, activation_bytes=1) for i in range(2)]
        return stage_problem(
            2,
            (1, 2),
            layers,
            transfer_seconds=[0.5] * 4,
            memory_limit_bytes=memory_limit_bytes,
            num_microbatches=8,
            schedule=kind,
        )

    def best(memory_limit_bytes: int) -> ScheduleKind:
        return choose_stages(problem(kind, memory_limit_bytes) for kind in KINDS[1:3]).schedule

    assert best(3) == ScheduleKind.EAGER_ONE_F_ONE_B
    assert best(2) == ScheduleKind.ONE_F_ONE_B


def test_solve_unchecked_problem_is_refused() -> None:
    with pytest.raises(ArgumentError, match="malformed: candidate 0"):
        choose_stages([stage_problem(2, (1, 2), [candidate(0, 3, 0)])])


def test_verify_wrong_statements_are_refused() -> None:
    plan = choose_stages([deep_problem(ScheduleKind.ONE_F_ONE_B, 100)])
    with pytest.raises(SolverError, match="expected step_seconds"):
        dataclasses.replace(plan, step_seconds=1.0).verify()
    with pytest.raises(SolverError, match="expected to end at layer 4, got 0"):
        dataclasses.replace(plan, stages=()).verify()


def test_submeshes_are_the_papers() -> None:
    shapes = [(s.num_nodes, s.devices_per_node) for s in submeshes(4, 8)]
    assert shapes == [(1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (3, 8), (4, 8)]
    assert [s.devices_per_node for s in submeshes(1, 6)] == [1, 2, 6]
