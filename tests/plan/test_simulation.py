"""Steps of plans on a clock: closed forms, random plans against an independent judge, what-ifs."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from alpa_mlir.cluster import Link
from alpa_mlir.errors import ArgumentError, PlanError, ScheduleError
from alpa_mlir.plan.data import (
    HeldValues,
    PhaseName,
    PlanData,
    PlannedCollective,
    PlannedTask,
    PlannedValues,
)
from alpa_mlir.plan.json import plan_from_json, plan_to_json
from alpa_mlir.schedule.interpret import verify_instructions
from alpa_mlir.simulate.drawing import save_simulation_trace
from alpa_mlir.simulate.planned import planned_timeline, simulate_plan
from alpa_mlir.simulate.step import PlannedStep
from alpa_mlir.simulate.what_if import what_if
from hypothesis import given
from hypothesis import strategies as st
from oracles.random_plans import cluster_of, plan_of, random_plan, stage_of
from oracles.simulated_steps import check_simulation

STATE, ACTIVATION, SUM, SLICE = 1000, 100, 500, 7  # bytes on a device
INTRA, INTER = Link(0.0, 100.0), Link(0.5, 10.0)


def values_of(
    writer: tuple[PhaseName, int] | None,
    readers: list[tuple[PhaseName, int]],
    held: dict[int, tuple[int, int]],
    *,
    is_sliced: bool = False,
    is_sum: bool = False,
    owner: int | None = None,
    kept_on: tuple[int, ...] = (),
) -> PlannedValues:
    return PlannedValues(
        count=1,
        writer=None if writer is None else PlannedTask(writer[1], writer[0]),
        readers=tuple(PlannedTask(stage, phase) for phase, stage in readers),
        held=tuple(HeldValues(stage, *sizes) for stage, sizes in sorted(held.items())),
        is_per_microbatch=is_sliced,
        is_sum=is_sum,
        is_donated=owner is not None,
        owner=owner,
        kept_on=kept_on,
    )


def chain(
    schedule: str, seconds: list[tuple[float, float, float]], num_microbatches: int, sent: int = 0
) -> PlanData:
    """Stages on a device each, two in a node; each sends `sent` bytes to its neighbours."""
    num_stages, per_node = len(seconds), 1 if len(seconds) == 1 else 2
    cluster = cluster_of(-(-num_stages // per_node), per_node, INTRA, INTER)
    values = [values_of(None, [("forward", 0)], {0: (SLICE, 0)}, is_sliced=True)]
    for stage in range(num_stages):
        tasks: list[tuple[PhaseName, int]] = [("forward", stage), ("backward", stage)]
        values.append(
            values_of(None, [*tasks, ("update", stage)], {stage: (STATE, 0)}, owner=stage)
        )
        values.append(values_of(("update", stage), [], {stage: (STATE, 0)}, kept_on=(stage,)))
        adds = tasks[1:] if num_microbatches > 1 else []
        values.append(
            values_of(
                ("backward", stage), [*adds, ("update", stage)], {stage: (SUM, 0)}, is_sum=True
            )
        )
        values.append(values_of(tasks[0], tasks[1:], {stage: (ACTIVATION, 0)}, is_sliced=True))
        neighbours: list[tuple[PhaseName, int]] = [
            ("forward", stage + 1),
            ("backward", stage - 1),
        ]
        for phase, target in neighbours:
            if 0 <= target < num_stages:
                ends = {stage: (sent, 0), target: (sent, sent)}
                values.append(values_of((phase, stage), [(phase, target)], ends, is_sliced=True))
    stages = tuple(stage_of(k, (1, 1), k, each) for k, each in enumerate(seconds))
    return plan_of(cluster, stages, tuple(values), schedule, num_microbatches)


WHOLE = st.integers(1, 9)


@given(st.sampled_from(["gpipe", "1f1b"]), st.integers(1, 6), WHOLE, WHOLE, WHOLE, WHOLE)
def test_equal_stages_without_transfers_meet_the_closed_form(
    schedule: str, num_stages: int, m: int, forward: int, backward: int, update: int
) -> None:
    simulation = simulate_plan(chain(schedule, [(forward, backward, update)] * num_stages, m))
    rounds = m + num_stages - 1
    assert simulation.step_seconds == rounds * (forward + backward) + update
    idle = sum(bubble.end_seconds - bubble.start_seconds for bubble in simulation.bubbles())
    assert idle == num_stages * (num_stages - 1) * (forward + backward)
    for stage, curve in enumerate(simulation.memory):
        held = m if schedule == "gpipe" else min(m, num_stages - stage)
        # Stage 0 has a slice for each forward to come, when the first backward makes the sums.
        slices = (m - held) * SLICE if stage == 0 else 0
        assert curve.peak_bytes == STATE + SUM + held * ACTIVATION + slices
        assert curve.bytes[-1] == STATE


@given(st.lists(st.tuples(WHOLE, WHOLE, st.just(0)), min_size=1, max_size=6), WHOLE)
def test_gpipe_of_any_stages_meets_the_closed_form(
    seconds: list[tuple[int, int, int]], m: int
) -> None:
    simulation = simulate_plan(chain("gpipe", [(*each,) for each in seconds], m))
    expected = sum(
        sum(each) + (m - 1) * max(each)
        for each in ([s[0] for s in seconds], [s[1] for s in seconds])
    )
    assert simulation.step_seconds == expected


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_random_plans_are_simulated_right(first: int) -> None:
    for seed in range(first, first + 50):
        plan = random_plan(seed)
        check_simulation(plan, simulate_plan(plan))


def test_transfers_that_share_a_link_slow_each_other_down() -> None:
    """Stages 1 and 3 receive from stages 0 and 2, which are in another node, at the same time."""
    cluster = cluster_of(2, 2, INTRA, INTER)
    places = [0, 2, 1, 3]  # so that both pairs cross the same two node links
    stages = tuple(stage_of(k, (1, 1), place, (1.0, 1.0, 0.0)) for k, place in enumerate(places))
    values = [
        values_of(None, [("forward", 0), ("forward", 2)], {0: (1, 0), 2: (1, 0)}, is_sliced=True),
        values_of(("forward", 0), [("forward", 1)], {0: (20, 0), 1: (20, 20)}, is_sliced=True),
        values_of(("forward", 2), [("forward", 3)], {2: (40, 0), 3: (40, 40)}, is_sliced=True),
    ]
    plan = plan_of(cluster, stages, tuple(values), "inference", 1)
    simulation = simulate_plan(plan)
    check_simulation(plan, simulation)
    first, second = simulation.transfers
    # Both flow from 1.5 on at 5 bytes per second each, until 20 bytes are there; the rest alone.
    assert (first.start_seconds, first.end_seconds) == (1.0, pytest.approx(1.5 + 20 / 10 + 20 / 10))
    assert second.end_seconds == pytest.approx(1.5 + 60 / 10)
    out = next(link for link in simulation.links if link.name == "node 0 out")
    assert (out.num_bytes, out.busy_seconds) == (60, pytest.approx(6.0))


@pytest.mark.parametrize("writer", [0, 1])
def test_plan_whose_tasks_wait_for_one_another_is_refused(writer: int) -> None:
    """A forward that reads what a later backward makes, on its own mesh or on another."""
    plan = chain("1f1b", [(1, 2, 0)] * 2, 2)
    assert simulate_plan(plan_from_json(plan_to_json(plan))).step_seconds > 0
    held = {0: (1, 1), writer: (1, 0)}
    late = values_of(("backward", writer), [("forward", 0)], held, is_sliced=True)
    loaded = plan_from_json(plan_to_json(replace(plan, values=(*plan.values, late))))
    message = (
        "values of the plan make no step: .* got a deadlock: mesh 0 at F0.0, .*; correct the plan"
    )
    for work in (simulate_plan, planned_timeline):
        with pytest.raises(ScheduleError, match=message):
            work(loaded)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_damaged_plans_are_refused_where_their_instructions_are(first: int) -> None:
    """The clock finds what `verify_instructions` does, and no more."""
    refused = 0
    for seed in range(first, first + 100):
        plan, rng = random_plan(seed), Random(seed)
        for _ in range(1 + seed % 3):
            plan = damaged(plan, rng)
        is_step = proves_step(plan)
        refused += not is_step
        with nullcontext() if is_step else pytest.raises(ScheduleError, match="make no step"):
            planned_timeline(plan)
    assert 10 < refused < 90


def damaged(plan: PlanData, rng: Random) -> PlanData:
    """With another reader, or another writer, or a sum that is none or that nobody adds to."""
    values = list(plan.values)
    number = rng.randrange(len(values))
    old = values[number]
    phases: list[PhaseName] = ["forward", "backward", "update"]
    task = PlannedTask(rng.randrange(len(plan.stages)), rng.choice(phases))
    held = {each.stage: each for each in old.held}
    held.setdefault(task.stage, HeldValues(task.stage, 1, 1))
    readers = tuple(each for each in old.readers if each != old.writer)
    new = rng.choice(
        [
            replace(old, readers=tuple(dict.fromkeys((*old.readers, task)))),
            replace(old, writer=task if old.writer else None),
            replace(old, is_sum=not old.is_sum),
            replace(old, readers=readers),
        ]
    )
    values[number] = replace(new, held=tuple(held[stage] for stage in sorted(held)))
    return replace(plan, values=tuple(values))


def proves_step(plan: PlanData) -> bool:
    step = PlannedStep(plan)
    try:
        verify_instructions(step.lists, step.schedule, step.values)
    except ScheduleError:
        return False
    return True


# --- What if ---


def test_what_if_a_stage_is_slow_equals_the_closed_form() -> None:
    plan = chain("gpipe", [(2, 4, 0)] * 3, 5)
    answer = what_if(plan, slow_stages={1: 1.5})
    assert answer.original.step_seconds == (5 + 2) * 6
    assert answer.step_seconds == 2 + 3 + 2 + 4 * 3 + 4 + 6 + 4 + 4 * 6
    assert answer.slowdown == answer.step_seconds / 42
    assert answer.plan.step_seconds == answer.step_seconds
    assert str(answer).startswith("a step takes 57 s instead of 42 s (+35.7%)")


def test_what_if_nothing_changes_gives_the_same_simulation() -> None:
    plan = random_plan(3)
    answer = what_if(plan, slow={0: 1.0})
    assert answer.simulation is answer.original  # it was simulated once
    assert answer.simulation == simulate_plan(plan)


def test_what_if_a_device_is_slow_its_stage_computes_as_slowly_and_reduces_as_fast() -> None:
    cluster = cluster_of(1, 4, Link(0.0, 100.0), INTER)
    mesh_seconds = 2 * 3 / 4 * 100 / 100  # a ring of four over 100 bytes
    sums = PlannedCollective("all-reduce", ("x",), 100, 1, mesh_seconds, 0, "dot", "", "update")
    stage = replace(stage_of(0, (1, 4), 0, (1.0, 2.0, 3.0)), collectives=(sums,))
    plan = plan_of(cluster, (stage,), chain("1f1b", [(1, 1, 1)], 2).values, "1f1b", 2)
    (update,) = (t for t in simulate_plan(plan).timeline.tasks() if t.task.phase.name == "UPDATE")
    assert update.reduction_seconds == mesh_seconds
    slow = what_if(plan, slow={2: 2.0})
    assert slow.step_seconds == 2 * 2 * (1 + 2) + 2 * (3 - mesh_seconds) + mesh_seconds
    links = what_if(plan, intra_node=4.0)
    assert links.step_seconds == pytest.approx(2 * (1 + 2) + 3 - mesh_seconds + 4 * mesh_seconds)


def test_what_if_links_are_slower_transfers_take_longer() -> None:
    plan = chain("1f1b", [(1, 2, 0)] * 4, 3, sent=50)
    for changed in (what_if(plan, intra_node=3.0), what_if(plan, inter_node=3.0)):
        check_simulation(changed.plan, changed.simulation)
        assert changed.step_seconds > changed.original.step_seconds
    assert what_if(plan, inter_node=0.5).slowdown < 1


def test_what_if_a_node_is_lost_the_plan_cannot_go_on() -> None:
    plan = chain("1f1b", [(1, 2, 0)] * 4, 3)
    with pytest.raises(PlanError, match=r"without nodes 1 .*: stages 2, 3 have .*num_nodes=1\)"):
        what_if(plan, lost_nodes={1})
    with pytest.raises(PlanError, match="no node is left"):
        what_if(plan, lost_nodes=[0, 1])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"slow": {4: 2.0}}, "slow: expected a device of 0 to 3, got 4"),
        ({"slow_stages": {-1: 2.0}}, "slow_stages: expected a stage of 0 to 3, got -1"),
        ({"slow": {0: float("nan")}}, "how many times as slow device 0 is, .* got nan"),
        ({"slow_stages": {0: 2e6}}, "how many times as slow stage 0 is, .* at most 1e.06, got 2"),
        ({"intra_node": -1.0}, "intra_node: expected how many times less .* number .*, got -1.0"),
        ({"inter_node": 0.0}, "inter_node: expected how many times less .* number .*, got 0.0"),
        ({"inter_node": 1e3}, "inter_node: .*bytes_per_second: expected at least 1, got 0.01"),
        ({"lost_nodes": [2]}, "lost_nodes: expected a node of 0 to 1, got 2"),
    ],
)
def test_what_if_of_what_is_not_there_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        what_if(chain("1f1b", [(1, 2, 0)] * 4, 3), **asked)


def test_trace_of_a_simulation_has_transfers_and_memory(tmp_path: Path) -> None:
    simulation = simulate_plan(chain("1f1b", [(1, 2, 0)] * 3, 4, sent=50))
    save_simulation_trace(tmp_path / "trace.json", simulation)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert list(names.values()) == [
        *(f"mesh {k}" for k in range(3)),
        *(f"mesh {a} to {b}" for a, b in ((0, 1), (1, 0), (1, 2), (2, 1))),
    ]
    sent = [event for event in events if event.get("cat") == "transfer"]
    assert len(sent) == len(simulation.transfers) == 4 * 4
    assert sum(event["args"]["bytes"] for event in sent) == 4 * 4 * 50
    assert max(event["ts"] + event["dur"] for event in sent) <= simulation.step_seconds * 1e6
    held = [event["args"]["bytes"] for event in events if event["ph"] == "C"]
    assert max(held) == simulation.peak_memory_bytes
    assert simulation.to_json()["step_seconds"] == simulation.step_seconds
    json.dumps(simulation.to_json(), allow_nan=False)
