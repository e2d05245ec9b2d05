"""The stage problem: its check, its judge, the place of its stages."""

from __future__ import annotations

from typing import Any

import pytest
from alpa_mlir._native import ScheduleKind, StageProblem, max_in_flight
from hypothesis import given
from hypothesis import strategies as st
from stage_problems import candidate, stage_problem


def two_stages(**fields: Any) -> StageProblem:
    """Two layers on a node of two; submesh 0 is one device, submesh 1 is both."""
    costs = {"update_seconds": 0.5, "resident_bytes": 10, "activation_bytes": 5}
    candidates = [
        candidate(0, 1, 0, compute_seconds=2.0, **costs),
        candidate(1, 2, 0, compute_seconds=3.0, **costs),
        candidate(0, 2, 1, compute_seconds=4.0, **costs),
    ]
    fields = {"transfer_seconds": [0.25, 9.0, 9.0, 9.0], **fields}
    return stage_problem(2, (1, 2), candidates, **fields)


def test_evaluate_adds_latency_periods_and_update() -> None:
    costs = two_stages().evaluate([0, 1])
    assert costs.latency_seconds == 2 + 0.25 + 3
    assert costs.period_seconds == 3
    assert costs.update_seconds == 0.5
    assert costs.step_seconds == 5.25 + 3 * 3 + 0.5
    assert costs.memory_bytes == [10 + 2 * 5, 10 + 5]


def test_update_needs_its_memory_when_nothing_is_in_flight() -> None:
    stages = [
        candidate(layer, layer + 1, 0, resident_bytes=10, activation_bytes=5, update_bytes=18)
        for layer in range(2)
    ]
    problem = stage_problem(2, (1, 2), stages, memory_limit_bytes=20)
    assert problem.evaluate([0, 1]).memory_bytes == [10 + 2 * 5, 18]
    assert problem.solve(float("inf")) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "period", "first_memory"),
    [
        (ScheduleKind.GPIPE, 4.0, 10 + 4 * 5),
        (ScheduleKind.ONE_F_ONE_B, 2.0 + 4.0, 10 + 2 * 5),
        (ScheduleKind.EAGER_ONE_F_ONE_B, 4.0, 10 + 3 * 5),
        (ScheduleKind.INFERENCE, 4.0, 10 + 5),
    ],
)
def test_evaluate_slow_transfer_under_each_schedule(
    kind: ScheduleKind, period: float, first_memory: int
) -> None:
    problem = two_stages(schedule=kind, transfer_seconds=[4.0, 0.0, 0.0, 0.0])
    costs = problem.evaluate([0, 1])
    assert costs.period_seconds == period
    assert costs.memory_bytes[0] == first_memory


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "stages: expected to end at layer 2, got 0"),
        ([0], "stages: expected to end at layer 2, got 1"),
        ([1, 0], "stage 0: expected to start at layer 0, got 1"),
        ([2, 1], "stage 1: expected to start at layer 2, got 1"),
        ([0, 9], "stage 1: expected a candidate below 3, got 9"),
    ],
)
def test_evaluate_illegal_stages_name_the_rule(stages: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        two_stages().evaluate(stages)


def test_evaluate_unused_device_is_refused() -> None:
    problem = stage_problem(1, (1, 2), [candidate(0, 1, 0)])
    with pytest.raises(ValueError, match="expected to use all 2 devices, got 1"):
        problem.evaluate([0])


def test_evaluate_over_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="stage 0: expected at most 19 bytes per device, got 20"):
        two_stages(memory_limit_bytes=19).evaluate([0, 1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_microbatches": 0}, "microbatches: expected 1 to"),
        ({"memory_limit_bytes": -1}, "memory limit: expected at least 0 bytes, got -1"),
        ({"transfer_seconds": [1.0]}, r"transfers: expected .* = 4 times, got 1"),
        ({"transfer_seconds": [1.0, 0, 0, float("nan")]}, "transfers: expected finite seconds"),
        ({"submeshes": [(1, 1), (2, 2)]}, r"submesh \(2, 2\): expected whole nodes"),
        ({"submeshes": [(1, 1)]}, "candidate 2: expected a submesh below 1, got 1"),
    ],
)
def test_check_bad_field_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        two_stages(**fields).check()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"first_layer": 1}, r"0 <= first < end <= 2, got \[1, 1\)"),
        ({"end_layer": 3}, r"0 <= first < end <= 2, got \[0, 3\)"),
        ({"compute_seconds": -1.0}, "finite seconds of at least 0, got -1"),
        ({"resident_bytes": 2**60}, "bytes from 0 to 2\\^50"),
    ],
)
def test_check_bad_candidate_is_named(bad: dict[str, Any], message: str) -> None:
    fields = {"first_layer": 0, "end_layer": 1, "submesh": 0, **bad}
    with pytest.raises(ValueError, match=f"candidate 0: .*{message}"):
        stage_problem(2, (1, 2), [candidate(**fields)]).check()


def test_check_sizes_that_do_not_divide_are_refused() -> None:
    shapes = [(1, 2), (1, 3), (1, 6)]
    with pytest.raises(ValueError, match="each divides the next, got 2 and 3"):
        stage_problem(1, (1, 6), [], submeshes=shapes).check()


@given(st.permutations([(1, 1), (1, 1), (1, 2), (1, 4), (2, 4), (1, 4), (1, 2), (1, 2)]))
def test_place_stages_overlap_nowhere_and_cross_no_node(shapes: list[tuple[int, int]]) -> None:
    distinct = sorted(set(shapes))
    candidates = [
        candidate(layer, layer + 1, distinct.index(shape)) for layer, shape in enumerate(shapes)
    ]
    problem = stage_problem(len(shapes), (6, 4), candidates, submeshes=distinct)
    devices: list[int] = []
    placed = problem.place_stages(list(range(len(shapes))))
    for (nodes, size), first in zip(shapes, placed, strict=True):
        devices += range(first, first + nodes * size)
        assert first % size == 0
    assert sorted(devices) == list(range(24))


def test_max_in_flight_never_exceeds_the_microbatches() -> None:
    kinds = [ScheduleKind.GPIPE, ScheduleKind.ONE_F_ONE_B, ScheduleKind.EAGER_ONE_F_ONE_B]
    assert [max_in_flight(kind, 3, 8) for kind in kinds] == [8, 3, 5]
    assert [max_in_flight(kind, 3, 2) for kind in kinds] == [2, 2, 2]
    assert max_in_flight(ScheduleKind.INFERENCE, 3, 8) == 1
