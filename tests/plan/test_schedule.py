"""Schedules: what they promise, what verify refuses, and what the simulator makes of them."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from alpa_mlir._native import (
    ScheduleKind,
    StageCandidate,
    StageProblem,
    Submesh,
)
from alpa_mlir.errors import ArgumentError, ScheduleError
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.schedule.schedule import Phase, Schedule, Task
from alpa_mlir.simulate.timeline import StageDurations, simulate
from hypothesis import given, settings
from hypothesis import strategies as st

TRAINING = ["GPIPE", "ONE_F_ONE_B", "EAGER_ONE_F_ONE_B"]
NAMES = [*TRAINING, "INFERENCE"]
SIZES = (st.integers(1, 6), st.integers(1, 9))


def named(name: str, num_stages: int, num_microbatches: int) -> Schedule:
    return make_schedule(getattr(ScheduleKind, name), num_stages, num_microbatches)


def test_one_f_one_b_is_printed_as_in_the_papers() -> None:
    assert str(named("ONE_F_ONE_B", 2, 3)).splitlines() == [
        "one_f_one_b, 3 microbatches",
        "mesh 0: F0.0 F0.1 B0.0 F0.2 B0.1 B0.2 U0",
        "mesh 1: F1.0 B1.0 F1.1 B1.1 F1.2 B1.2 U1",
    ]


@given(st.sampled_from(NAMES), *SIZES)
def test_schedules_verify_at_any_size(name: str, num_stages: int, num_microbatches: int) -> None:
    schedule = named(name, num_stages, num_microbatches)
    schedule.verify()
    assert [schedule.mesh_of_stage[stage] for stage in range(num_stages)] == list(range(num_stages))


@pytest.mark.parametrize(
    ("name", "in_flight"),
    [
        ("GPIPE", (8, 8, 8, 8)),
        ("ONE_F_ONE_B", (4, 3, 2, 1)),
        ("EAGER_ONE_F_ONE_B", (7, 5, 3, 1)),
        ("INFERENCE", (1, 1, 1, 1)),
    ],
)
def test_peak_in_flight_is_the_window(name: str, in_flight: tuple[int, ...]) -> None:
    assert named(name, 4, 8).peak_in_flight() == in_flight


def test_prologue_and_rounds_are_printed() -> None:
    kind = ScheduleKind.ONE_F_ONE_B
    schedule = make_schedule(kind, 2, 1, prologue_stage=1, num_update_rounds=2)
    assert str(schedule).splitlines() == [
        "one_f_one_b, 1 microbatches",
        "mesh 0: F0.0 B0.0 U0 U0.r1",
        "mesh 1: P1 F1.0 B1.0 U1 U1.r1",
    ]


@given(st.sampled_from(NAMES), *SIZES, st.integers(0, 3), st.integers(0, 6))
def test_schedules_with_prologue_and_rounds_verify(
    name: str, num_stages: int, num_microbatches: int, num_rounds: int, prologue: int
) -> None:
    prologue_stage = prologue if prologue < num_stages else None
    kind = getattr(ScheduleKind, name)
    schedule = make_schedule(kind, num_stages, num_microbatches, prologue_stage, num_rounds)
    schedule.verify()
    assert schedule.num_update_rounds == num_rounds
    assert (schedule.prologue is None) == (prologue_stage is None)


def test_make_schedule_of_a_prologue_nowhere_is_refused() -> None:
    with pytest.raises(ArgumentError, match="on one of 2 stages, got stage 2"):
        make_schedule(ScheduleKind.GPIPE, 2, 1, prologue_stage=2)


def test_make_schedule_of_nothing_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at least one stage and one microbatch, got 2 and 0"):
        named("GPIPE", 2, 0)


def with_mesh(schedule: Schedule, mesh: int, tasks: list[Task]) -> Schedule:
    meshes = list(schedule.meshes)
    meshes[mesh] = tuple(tasks)
    return dataclasses.replace(schedule, meshes=tuple(meshes))


def test_verify_missing_task_is_named() -> None:
    schedule = named("ONE_F_ONE_B", 2, 2)
    with pytest.raises(ScheduleError, match=r"expected task B0\.0 1 times .* got 0"):
        with_mesh(schedule, 0, [t for t in schedule.meshes[0] if str(t) != "B0.0"]).verify()


def test_verify_unknown_and_double_tasks_are_named() -> None:
    schedule = named("ONE_F_ONE_B", 2, 2)
    for extra, message in [
        (Task(0, Phase.FORWARD, 2), "F0.2 0 times"),
        (Task(1, Phase.UPDATE), "2$"),
    ]:
        with pytest.raises(ScheduleError, match=message):
            with_mesh(schedule, 1, [*schedule.meshes[1], extra]).verify()


def test_verify_rounds_and_prologues_are_counted() -> None:
    schedule = make_schedule(ScheduleKind.GPIPE, 2, 1, prologue_stage=0, num_update_rounds=2)
    first, second = map(list, schedule.meshes)
    for tasks, message in [
        (second[:-1], r"expected task U1\.r1 1 times .* got 0"),
        ([*second, Task(1, Phase.UPDATE, round=3)], r"expected task U0\.r2 1 times .* got 0"),
        ([Task(1, Phase.PROLOGUE), *second], "expected task P1 0 times .* got 1"),
        ([*second, Task(1, Phase.FORWARD, round=1)], r"expected task F1\.r1\.0 0 times"),
    ]:
        with pytest.raises(ScheduleError, match=message):
            with_mesh(schedule, 1, tasks).verify()
    swapped = [*first[:-2], first[-1], first[-2]]
    with pytest.raises(ScheduleError, match=r"deadlock: mesh 0 at U0\.r1, mesh 1 at U1\.r1"):
        with_mesh(schedule, 0, swapped).verify()


def test_verify_stage_on_two_meshes_is_refused() -> None:
    schedule = named("INFERENCE", 2, 2)
    first, second = schedule.meshes
    moved = dataclasses.replace(schedule, meshes=(first[:1], second + first[1:]))
    with pytest.raises(ScheduleError, match="stage 0 on one mesh, got 0 and 1"):
        moved.verify()


def test_verify_deadlock_names_who_waits() -> None:
    schedule = named("ONE_F_ONE_B", 2, 2)
    # Mesh 0 wants gradients of microbatch 0 before it sends microbatch 1, which mesh 1 wants first.
    first = [Task(0, Phase.FORWARD, 0), Task(0, Phase.BACKWARD, 0), Task(0, Phase.FORWARD, 1)]
    first += [Task(0, Phase.BACKWARD, 1), Task(0, Phase.UPDATE)]
    second = [Task(1, phase, k) for phase in (Phase.FORWARD, Phase.BACKWARD) for k in (0, 1)]
    second.append(Task(1, Phase.UPDATE))
    stuck = with_mesh(with_mesh(schedule, 0, first), 1, second)
    with pytest.raises(ScheduleError, match=r"deadlock: mesh 0 at B0\.0, mesh 1 at F1\.1"):
        stuck.verify()
    with pytest.raises(ScheduleError, match=r"deadlock: mesh 0 at B0\.0, mesh 1 at F1\.1"):
        simulate(stuck, [StageDurations(forward_seconds=1.0)] * 2)


def test_verify_more_in_flight_than_stated_is_refused() -> None:
    schedule = dataclasses.replace(named("GPIPE", 2, 3), max_in_flight=(2, 1))
    with pytest.raises(ScheduleError, match=r"at most \(2, 1\) microbatches .* got \(3, 3\)"):
        schedule.verify()


@given(st.sampled_from(TRAINING), *SIZES, st.integers(1, 5), st.integers(1, 5))
def test_simulate_equal_stages_meet_the_closed_formula(
    name: str, num_stages: int, num_microbatches: int, forward: int, backward: int
) -> None:
    durations = StageDurations(forward_seconds=forward, backward_seconds=backward)
    timeline = simulate(named(name, num_stages, num_microbatches), [durations] * num_stages)
    rounds = num_microbatches + num_stages - 1
    assert timeline.makespan_seconds == rounds * (forward + backward)
    assert timeline.bubble_fraction == pytest.approx((num_stages - 1) / rounds)
    assert timeline.peak_in_flight == timeline.schedule.max_in_flight


@st.composite
def stage_seconds(draw: st.DrawFn, num_stages: int) -> list[tuple[int, int, int, int, int]]:
    """Forward, backward, update, send forward, send backward."""
    task, other = st.integers(1, 6), st.integers(0, 6)
    return [draw(st.tuples(task, task, other, other, other)) for _ in range(num_stages)]


def native_durations(seconds: list[tuple[int, int, int, int, int]]) -> list[StageDurations]:
    names = ("forward", "backward", "update", "send_forward", "send_backward")
    return [
        StageDurations(**{f"{name}_seconds": s for name, s in zip(names, stage, strict=True)})
        for stage in seconds
    ]


@given(st.data(), st.sampled_from(TRAINING), st.integers(1, 4), st.integers(1, 4))
def test_simulate_rounds_wait_for_all_stages(
    data: st.DataObject, name: str, num_stages: int, num_rounds: int
) -> None:
    kind, durations = getattr(ScheduleKind, name), data.draw(stage_seconds(num_stages))
    schedule = make_schedule(kind, num_stages, 3, 0, num_rounds)
    timeline = simulate(schedule, native_durations(durations), prologue_seconds=2.0)
    ends = {timed.task: timed.end_seconds for timed in timeline.tasks()}
    assert set(ends) == {task for tasks in schedule.meshes for task in tasks}
    for timed in timeline.tasks():
        assert all(
            ends[before] <= timed.start_seconds for before in schedule.dependencies(timed.task)
        )
    for mesh in timeline.meshes:
        assert all(a.end_seconds <= b.start_seconds for a, b in pairwise(mesh))
    for stage, seconds in enumerate(durations):
        updates = [t for t in timeline.meshes[stage] if t.task.phase == Phase.UPDATE]
        spent = sum(t.end_seconds - t.start_seconds for t in updates)
        assert spent == pytest.approx(seconds[2])
    whole = simulate(named(name, num_stages, 3), native_durations(durations))
    assert timeline.makespan_seconds >= 2 + whole.makespan_seconds - 1e-9


def test_simulate_inference_and_memory() -> None:
    timeline = simulate(named("INFERENCE", 3, 5), [StageDurations(forward_seconds=2.0)] * 3)
    assert timeline.makespan_seconds == (5 + 3 - 1) * 2
    assert timeline.peak_memory_bytes([10, 20, 30], [1, 2, 3]) == (11, 22, 33)


def tick_by_tick(schedule: Schedule, seconds: list[tuple[int, int, int, int, int]]) -> int:
    """The makespan by advancing a clock in whole seconds: every mesh and link looks for work."""
    position = [0] * len(schedule.meshes)
    running: dict[int, tuple[Task, int]] = {}
    links: dict[tuple[int, Phase], list[tuple[Task, int]]] = {}
    done: set[Task] = set()
    arrived: set[Task] = set()
    clock = 0

    def is_ready(task: Task) -> bool:
        return all(
            before in (done if before.stage == task.stage else arrived)
            for before in schedule.dependencies(task)
        )

    def settle() -> bool:
        """What happens at this instant; whether anything did."""
        for mesh, (task, end) in list(running.items()):
            if end == clock:
                del running[mesh]
                done.add(task)
                if task.phase != Phase.UPDATE:
                    cost = seconds[task.stage][3 if task.phase == Phase.FORWARD else 4]
                    links.setdefault((task.stage, task.phase), []).append((task, cost))
                return True
        for queue in links.values():
            if queue and queue[0][1] == 0:
                arrived.add(queue.pop(0)[0])
                return True
        for mesh, tasks in enumerate(schedule.meshes):
            if (
                mesh not in running
                and position[mesh] < len(tasks)
                and is_ready(tasks[position[mesh]])
            ):
                task = tasks[position[mesh]]
                index = [Phase.FORWARD, Phase.BACKWARD, Phase.UPDATE].index(task.phase)
                running[mesh] = (task, clock + seconds[task.stage][index])
                position[mesh] += 1
                return True
        return False

    while True:
        while settle():
            pass
        if not running and all(p == len(t) for p, t in zip(position, schedule.meshes, strict=True)):
            return clock
        clock += 1
        for queue in links.values():
            if queue:
                task, cost = queue[0]
                queue[0] = task, cost - 1


@given(st.data(), st.sampled_from(NAMES), st.integers(1, 4), st.integers(1, 6))
def test_simulate_equals_a_clock_that_ticks(
    data: st.DataObject, name: str, num_stages: int, num_microbatches: int
) -> None:
    schedule = named(name, num_stages, num_microbatches)
    seconds = data.draw(stage_seconds(num_stages))
    timeline = simulate(schedule, native_durations(seconds))
    assert timeline.makespan_seconds == tick_by_tick(schedule, seconds)
    assert all(a <= b for a, b in zip(timeline.peak_in_flight, schedule.max_in_flight, strict=True))
    ends = {timed.task: timed.end_seconds for timed in timeline.tasks()}
    for mesh in timeline.meshes:
        for before, after in pairwise(mesh):
            assert before.end_seconds <= after.start_seconds
    for timed in timeline.tasks():
        for dependency in schedule.dependencies(timed.task):
            assert ends[dependency] <= timed.start_seconds


@settings(max_examples=300)
@given(st.data(), st.sampled_from(NAMES), st.integers(1, 5), st.integers(1, 9))
def test_planned_step_is_never_below_the_simulated_one(
    data: st.DataObject, name: str, num_stages: int, num_microbatches: int
) -> None:
    """An upper bound where backwards, and what they send, take a fixed multiple of forwards.

    Under 1F1B transfers may take any time. Without proportion a few random schedules exceed it,
    since the slowest forward and the slowest backward are on different stages.
    """
    is_free = name == "ONE_F_ONE_B"
    ratio = 0 if name == "INFERENCE" else 2
    seconds = data.draw(stage_seconds(num_stages))
    sends = [0, *(send for _, _, _, send, _ in seconds)]
    seconds = [
        (forward, ratio * forward, update, send, back if is_free else ratio * before)
        for (forward, _, update, send, back), before in zip(seconds, sends, strict=False)
    ]
    if name == "INFERENCE":
        seconds = [(forward, 0, 0, send, 0) for forward, _, _, send, _ in seconds]
    timeline = simulate(named(name, num_stages, num_microbatches), native_durations(seconds))
    problem = StageProblem(
        num_layers=num_stages,
        cluster=Submesh(num_stages, 1),
        submeshes=[Submesh(1, 1)],
        candidates=[
            StageCandidate(
                first_layer=stage,
                end_layer=stage + 1,
                submesh=0,
                compute_seconds=forward + backward,
                update_seconds=update,
            )
            for stage, (forward, backward, update, _, _) in enumerate(seconds)
        ],
        transfer_seconds=[before[3] + after[4] for before, after in pairwise(seconds)],
        memory_limit_bytes=0,
        num_microbatches=num_microbatches,
        schedule=getattr(ScheduleKind, name),
    )
    planned = problem.evaluate(list(range(num_stages))).step_seconds
    assert Fraction(timeline.makespan_seconds) <= Fraction(planned)


@pytest.mark.parametrize(
    ("meshes", "message"),
    [
        ([["F", 0, 0], ["F", 0, 0]], r"expected task F0\.0 1 times .* got 2"),
        ([["F", 0, 0], ["F", 1, 0]], r"expected task F1\.0 0 times .* got 1"),
        ([], r"expected task F0\.0 1 times .* got 0"),
    ],
)
def test_simulate_bad_tasks_are_named(meshes: list[list[Any]], message: str) -> None:
    tasks = tuple(Task(stage, Phase(letter), k) for letter, stage, k in meshes)
    schedule = Schedule("broken", 1, 1, (tasks,), (1,))
    with pytest.raises(ScheduleError, match=message):
        simulate(schedule, [StageDurations(forward_seconds=1.0)])


def test_simulate_bad_durations_are_refused() -> None:
    with pytest.raises(ScheduleError, match="durations of 2 stages, got 1"):
        simulate(named("GPIPE", 2, 1), [StageDurations(forward_seconds=1.0)])
    with pytest.raises(ScheduleError, match="expected a finite number of at least 0, got -1"):
        simulate(named("GPIPE", 1, 1), [StageDurations(forward_seconds=-1.0)])
