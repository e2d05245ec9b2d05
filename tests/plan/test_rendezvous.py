"""Lists where a send waits for its receive: those of every schedule end, broken ones are found."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from alpa_mlir._native import ScheduleKind
from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.instructions import InstructionLists, Transfer, make_instructions
from alpa_mlir.schedule.interpret import verify_instructions
from alpa_mlir.schedule.issue_order import issue_order
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.schedule.rendezvous import Step, verify_rendezvous, with_receives
from alpa_mlir.schedule.schedule import Phase, TaskKind
from alpa_mlir.schedule.values import PipelineValues, Signature
from hypothesis import given
from hypothesis import strategies as st

Lists = Sequence[Sequence[Step]]


def training(num_stages: int, skips: frozenset[tuple[int, int]] = frozenset()) -> PipelineValues:
    """Activations h and gradients d between stages; `skips` are pairs of stages of which the later
    one's forward reads the earlier one's activations, too."""
    signatures: dict[TaskKind, Signature] = {}
    for i in range(num_stages):
        read = {f"h{a}" for a, b in skips if b == i} | {f"h{i - 1}" if i else "x"}
        came = [f"d{i + 1}"] if i + 1 < num_stages else []
        signatures[TaskKind(i, Phase.FORWARD)] = Signature(
            (f"w{i}", *sorted(read)), (f"h{i}", f"r{i}")
        )
        signatures[TaskKind(i, Phase.BACKWARD)] = Signature(
            (f"w{i}", f"r{i}", f"g{i}", *came), (f"g{i}", f"d{i}")
        )
        signatures[TaskKind(i, Phase.UPDATE)] = Signature((f"w{i}", f"g{i}"), (f"n{i}",))
    numbers = range(num_stages)
    return PipelineValues(
        signatures=signatures,
        state=frozenset(f"w{i}" for i in numbers),
        batch=frozenset(["x"]),
        accumulated=frozenset(f"g{i}" for i in numbers),
        kept={f"n{i}": frozenset([i]) for i in numbers},
    )


@st.composite
def instruction_lists(draw: st.DrawFn, max_size: int = 6) -> InstructionLists:
    num_stages = draw(st.integers(1, max_size))
    kind = draw(
        st.sampled_from(
            [ScheduleKind.GPIPE, ScheduleKind.ONE_F_ONE_B, ScheduleKind.EAGER_ONE_F_ONE_B]
        )
    )
    schedule = make_schedule(kind, num_stages, draw(st.integers(1, 2 * max_size)))
    stages = st.integers(0, num_stages - 1)
    pairs = draw(st.frozensets(st.tuples(stages, stages), max_size=3))
    values = training(num_stages, frozenset(pair for pair in pairs if pair[0] < pair[1]))
    lists = make_instructions(schedule, values)
    verify_instructions(lists, schedule, values)
    return lists


def issued(lists: InstructionLists) -> tuple[tuple[Step, ...], ...]:
    return with_receives(issue_order(lists), len(lists.meshes))


def ends(meshes: Lists, rng: random.Random) -> bool:
    """Whether all come to their ends, one step at a time of those that can be done, at random."""
    rest = [list(steps) for steps in meshes]
    while True:
        heads = {steps[0] for steps in rest if steps}
        ready = [s for s in heads if all(rest[m] and rest[m][0] == s for m in s.meshes)]
        if not ready:
            return not any(rest)
        for mesh in rng.choice(sorted(ready, key=str)).meshes:
            rest[mesh].pop(0)


@given(instruction_lists(), st.integers(0, 2**32))
def test_lists_of_every_schedule_end_at_any_speed(lists: InstructionLists, seed: int) -> None:
    meshes = issued(lists)
    verify_rendezvous(meshes)
    assert ends(meshes, random.Random(seed))


@given(instruction_lists(3), st.integers(0, 2**32))
def test_verdict_is_that_of_a_run(lists: InstructionLists, seed: int) -> None:
    """Of lists in which a few steps have changed places."""
    rng = random.Random(seed)
    meshes = [list(steps) for steps in issued(lists)]
    for _ in range(rng.randrange(4)):
        steps = rng.choice(meshes)
        steps.insert(rng.randrange(len(steps)), steps.pop(rng.randrange(len(steps))))
    if ends(meshes, rng):
        verify_rendezvous(meshes)
        return
    with pytest.raises(ScheduleError, match="got a deadlock: mesh "):
        verify_rendezvous(meshes)


def late_receives(meshes: Lists) -> list[list[Step]]:
    """Each receive just before what reads it first, as if it were issued where it is needed."""
    found: list[list[Step]] = []
    for mesh, steps in enumerate(meshes):
        own = [step for step in steps if step.mesh == mesh]
        for received in (step for step in reversed(steps) if step.mesh != mesh):
            wanted = set(received.instruction.reads)
            readers = [n for n, s in enumerate(own) if not wanted.isdisjoint(s.instruction.reads)]
            own.insert(readers[0], received)
        found.append(own)
    return found


def test_receives_where_they_are_read_would_hang() -> None:
    """Why receives are issued in the order of sends: 1F1B sends both ways at once."""
    schedule = make_schedule(ScheduleKind.ONE_F_ONE_B, 2, 4)
    meshes = issued(make_instructions(schedule, training(2)))
    verify_rendezvous(meshes)
    with pytest.raises(ScheduleError) as found:
        verify_rendezvous(late_receives(meshes))
    assert str(found.value) == (
        "expected every send to meet its receive, got a deadlock: mesh 0 at 'transfer h0.1 to mesh "
        "1 of mesh 0' waits for mesh 1; mesh 1 at 'transfer d1.0 to mesh 0 of mesh 1' waits for "
        "mesh 0"
    )


def test_receive_that_is_lacking_or_there_twice_is_named() -> None:
    schedule = make_schedule(ScheduleKind.GPIPE, 2, 2)
    first, second = issued(make_instructions(schedule, training(2)))
    received = next(s for s in second if isinstance(s.instruction, Transfer) and s.mesh == 0)
    without = [step for step in second if step != received]
    with pytest.raises(ScheduleError, match="in the list of mesh 1, which takes part, got it in"):
        verify_rendezvous([first, without])
    with pytest.raises(ScheduleError, match=r"mesh 1: expected 'transfer h0.0 .* got it twice"):
        verify_rendezvous([first, [*second, received]])
