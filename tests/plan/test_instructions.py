"""Instruction lists: what is issued for a small pipeline, and what their verifier refuses."""

from __future__ import annotations

import dataclasses

import pytest
from alpa_mlir._native import ScheduleKind
from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.instructions import (
    Free,
    Instruction,
    InstructionLists,
    Run,
    StartSums,
    Transfer,
    make_instructions,
)
from alpa_mlir.schedule.interpret import verify_instructions
from alpa_mlir.schedule.issue_order import issue_order
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.schedule.schedule import Phase, Schedule, Task, TaskKind
from alpa_mlir.schedule.values import Buffer, PipelineValues, Signature
from hypothesis import given, settings
from hypothesis import strategies as st

PROLOGUE, FORWARD, BACKWARD, UPDATE = Phase


def named(name: str, num_stages: int, num_microbatches: int) -> Schedule:
    return make_schedule(getattr(ScheduleKind, name), num_stages, num_microbatches)


def chain(
    num_stages: int, skips: tuple[tuple[int, int], ...] = (), is_tied: bool = False
) -> PipelineValues:
    """Parameters w, activations h, residuals r, gradients d and g per stage; a loss.

    `skips` are pairs of stages: the later one's forward reads the earlier one's activations too.
    With `is_tied`, the last stage's forward reads w0 and the first stage's update its gradient.
    """
    last = num_stages - 1
    signatures: dict[TaskKind, Signature] = {}
    kept = {"loss": frozenset([last])}
    for i in range(num_stages):
        inputs = ["x"] if i == 0 else [f"h{i - 1}"]
        inputs += [f"h{a}" for a, b in skips if b == i and f"h{a}" not in inputs]
        tied = ["w0"] if is_tied and i == last > 0 else []
        signatures[TaskKind(i, FORWARD)] = Signature(
            (f"w{i}", *tied, *inputs), (f"r{i}", "loss" if i == last else f"h{i}")
        )
        came = [] if i == last else [f"d{i + 1}"]
        sent = [] if i == 0 else [f"d{i}"]
        tied_gradient = ["gt"] if tied else []
        signatures[TaskKind(i, BACKWARD)] = Signature(
            (f"w{i}", *tied, f"r{i}", *came), (f"g{i}", *tied_gradient, *sent)
        )
        gradients = [f"g{i}"] + (["gt"] if is_tied and i == 0 < last else [])
        signatures[TaskKind(i, UPDATE)] = Signature((f"w{i}", *gradients), (f"n{i}",))
        kept[f"n{i}"] = frozenset([0, last] if is_tied and i == 0 else [i])
    tied = {"gt"} if is_tied and last > 0 else set[str]()
    accumulated = {"loss", *(f"g{i}" for i in range(num_stages)), *tied}
    return PipelineValues(
        {kind: adding(kind, each, accumulated) for kind, each in signatures.items()},
        state=frozenset(f"w{i}" for i in range(num_stages)),
        batch=frozenset(["x"]),
        accumulated=frozenset(accumulated),
        kept=kept,
    )


def adding(kind: TaskKind, signature: Signature, accumulated: set[str]) -> Signature:
    """With the sums that a task of a microbatch adds to among its inputs."""
    if not kind.phase.runs_per_microbatch:
        return signature
    sums = tuple(value for value in signature.outputs if value in accumulated)
    return Signature((*signature.inputs, *sums), signature.outputs)


def clipped(num_stages: int) -> PipelineValues:
    """The chain, clipped by global norm, with a loss over the sum of all examples' weights."""
    values = chain(num_stages)
    last = num_stages - 1
    signatures = dict(values.signatures)
    signatures[TaskKind(last, PROLOGUE)] = Signature(("weights",), ("total",))
    for kind in (TaskKind(last, FORWARD), TaskKind(0, BACKWARD)):
        signature = signatures[kind]
        signatures[kind] = Signature((*signature.inputs, "weights", "total"), signature.outputs)
    norms = tuple(f"norm{i}" for i in range(num_stages))
    for i in range(num_stages):
        signatures[TaskKind(i, UPDATE)] = Signature((f"g{i}",), (norms[i],))
        signatures[TaskKind(i, UPDATE, 1)] = Signature((f"w{i}", f"g{i}", *norms), (f"n{i}",))
    return dataclasses.replace(values, signatures=signatures, batch=frozenset(["x", "weights"]))


def clipped_schedule(name: str, num_stages: int, num_microbatches: int) -> Schedule:
    last = num_stages - 1
    return make_schedule(getattr(ScheduleKind, name), num_stages, num_microbatches, last, 2)


TWO_STAGES = """\
mesh 0:
  run F0.0 (w0, x.0) -> (r0.0, h0.0)
  transfer h0.0 to mesh 1
  free x.0, h0.0
  run F0.1 (w0, x.1) -> (r0.1, h0.1)
  transfer h0.1 to mesh 1
  free x.1, h0.1
  start sums g0
  run B0.0 (w0, r0.0, d1.0, g0) -> (g0)
  free r0.0, d1.0
  run B0.1 (w0, r0.1, d1.1, g0) -> (g0)
  free r0.1, d1.1
  run U0 (w0, g0) -> (n0)
  free w0, g0
mesh 1:
  start sums loss
  run F1.0 (w1, h0.0, loss) -> (r1.0, loss)
  free h0.0
  start sums g1
  run B1.0 (w1, r1.0, g1) -> (g1, d1.0)
  transfer d1.0 to mesh 0
  free r1.0, d1.0
  run F1.1 (w1, h0.1, loss) -> (r1.1, loss)
  free h0.1
  run B1.1 (w1, r1.1, g1) -> (g1, d1.1)
  transfer d1.1 to mesh 0
  free r1.1, d1.1
  run U1 (w1, g1) -> (n1)
  free w1, g1
"""


def test_make_instructions_of_two_stages() -> None:
    lists = make_instructions(named("ONE_F_ONE_B", 2, 2), chain(2))
    assert f"{lists}\n" == TWO_STAGES


@settings(max_examples=100)
@given(
    st.sampled_from(["GPIPE", "ONE_F_ONE_B", "EAGER_ONE_F_ONE_B"]),
    st.integers(1, 5),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=3),
    st.booleans(),
)
def test_instructions_verify_at_any_size(
    name: str, num_stages: int, num_microbatches: int, skips: list[tuple[int, int]], is_tied: bool
) -> None:
    schedule = named(name, num_stages, num_microbatches)
    forwards = tuple(sorted({(a, b) for a, b in skips if a < b < num_stages}))
    values = chain(num_stages, forwards, is_tied)
    lists = make_instructions(schedule, values)
    verify_instructions(lists, schedule, values)
    for stage, instructions in enumerate(lists.meshes):
        assert peak_residuals(instructions, f"r{stage}") == schedule.max_in_flight[stage]
    check_order(lists, schedule, values)


@settings(max_examples=50)
@given(
    st.sampled_from(["GPIPE", "ONE_F_ONE_B", "EAGER_ONE_F_ONE_B"]),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_instructions_of_prologue_and_rounds_verify(
    name: str, num_stages: int, num_microbatches: int
) -> None:
    schedule = clipped_schedule(name, num_stages, num_microbatches)
    values = clipped(num_stages)
    lists = make_instructions(schedule, values)
    verify_instructions(lists, schedule, values)
    check_order(lists, schedule, values)


def test_prologue_reads_the_whole_batch_and_norms_go_to_all() -> None:
    lists = make_instructions(clipped_schedule("ONE_F_ONE_B", 2, 2), clipped(2))
    last = [str(instruction) for instruction in lists.meshes[1]]
    assert last[:3] == [
        "run P1 (weights) -> (total)",
        "transfer total to mesh 0",
        "free weights",
    ]
    assert "run F1.0 (w1, h0.0, loss, weights.0, total) -> (r1.0, loss)" in last
    assert last[-4:] == [
        "run U1 (g1) -> (norm1)",
        "transfer norm1 to mesh 0",
        "run U1.r1 (w1, g1, norm0, norm1) -> (n1)",
        "free w1, g1, norm0, norm1",
    ]


def test_tasks_without_work_become_no_instruction() -> None:
    values = clipped(2)
    signatures = {k: s for k, s in values.signatures.items() if k != TaskKind(0, UPDATE)}
    first = Signature(("w0", "g0", "norm1"), ("n0",))
    signatures[TaskKind(0, UPDATE, 1)] = first
    signatures[TaskKind(1, UPDATE, 1)] = Signature(("w1", "g1", "norm1"), ("n1",))
    values = dataclasses.replace(values, signatures=signatures)
    schedule = clipped_schedule("GPIPE", 2, 2)
    lists = make_instructions(schedule, values)
    verify_instructions(lists, schedule, values)
    updates = [str(i.task) for _, i in issue_order(lists) if isinstance(i, Run)][-3:]
    assert sorted(updates) == ["U0.r1", "U1", "U1.r1"]


def test_work_that_is_not_scheduled_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"expected a task for each signature .* none for P1"):
        make_instructions(named("ONE_F_ONE_B", 2, 2), clipped(2))


def test_check_rounds_and_prologue_read_only_what_is_there() -> None:
    for kind, inputs, message in [
        (TaskKind(0, UPDATE, 0), ("g0", "norm1"), r"round 0 .* to read what earlier rounds wrote"),
        (TaskKind(1, PROLOGUE), ("r1",), r"since it runs first, got 'r1' of F1"),
        (TaskKind(0, BACKWARD), ("norm0",), "known before the update, got 'norm0'"),
    ]:
        values = clipped(2)
        outputs = values.signatures[kind].outputs
        signatures = {**values.signatures, kind: Signature(inputs, outputs)}
        with pytest.raises(ScheduleError, match=message):
            dataclasses.replace(values, signatures=signatures).check()


def check_order(lists: InstructionLists, schedule: Schedule, values: PipelineValues) -> None:
    """One order that keeps each mesh's own, and in which every value is there when it is read."""
    order = issue_order(lists)
    for mesh, instructions in enumerate(lists.meshes):
        assert tuple(i for at, i in order if at == mesh) == instructions
    there = set(values.initial_buffers(schedule))
    for mesh, instruction in order:
        assert there.issuperset((mesh, buffer) for buffer in instruction.reads)
        target = instruction.target if isinstance(instruction, Transfer) else mesh
        there.update((mesh, buffer) for buffer in instruction.writes)
        there.update((target, buffer) for buffer in instruction.reads)


def peak_residuals(instructions: tuple[Instruction, ...], value: str) -> int:
    """How many microbatches' buffers of `value` live at once."""
    held = peak = 0
    for instruction in instructions:
        if isinstance(instruction, Run):
            held += sum(buffer.value == value for buffer in instruction.writes)
        if isinstance(instruction, Free):
            held -= sum(buffer.value == value for buffer in instruction.reads)
        peak = max(peak, held)
    return peak


def test_only_neighbours_are_sent_to_in_a_chain() -> None:
    lists = make_instructions(named("ONE_F_ONE_B", 4, 3), chain(4))
    sent = {
        (mesh, buffer.value, instruction.target)
        for mesh, instructions in enumerate(lists.meshes)
        for instruction in instructions
        if isinstance(instruction, Transfer)
        for buffer in instruction.reads
    }
    forwards = {(i, f"h{i}", i + 1) for i in range(3)}
    assert sent == forwards | {(i, f"d{i}", i - 1) for i in range(1, 4)}


def test_tied_parameter_sends_its_gradient_and_comes_back() -> None:
    lists = make_instructions(named("GPIPE", 3, 2), chain(3, is_tied=True))
    assert Transfer((Buffer("gt"),), 0) in lists.meshes[2]
    assert Transfer((Buffer("n0"),), 2) in lists.meshes[0]


def test_inference_keeps_parameters_and_every_result() -> None:
    schedule = named("INFERENCE", 2, 3)
    values = PipelineValues(
        {
            TaskKind(0, FORWARD): Signature(("w0", "x"), ("h0",)),
            TaskKind(1, FORWARD): Signature(("w1", "h0"), ("y",)),
        },
        state=frozenset(["w0", "w1"]),
        batch=frozenset(["x"]),
        kept={"w0": frozenset([0]), "w1": frozenset([1]), "y": frozenset([1])},
    )
    lists = make_instructions(schedule, values)
    verify_instructions(lists, schedule, values)
    freed = {b for i in lists.meshes[1] if isinstance(i, Free) for b in i.reads}
    assert freed == {Buffer("h0", k) for k in range(3)}


def edited(lists: InstructionLists, mesh: int, instructions: list[Instruction]) -> InstructionLists:
    meshes = list(lists.meshes)
    meshes[mesh] = tuple(instructions)
    return dataclasses.replace(lists, meshes=tuple(meshes))


def free_of(buffer: str, instructions: list[Instruction]) -> int:
    return next(
        at
        for at, instruction in enumerate(instructions)
        if isinstance(instruction, Free) and buffer in map(str, instruction.reads)
    )


def test_verify_every_lost_instruction_is_found() -> None:
    schedule, values = named("ONE_F_ONE_B", 2, 2), chain(2)
    lists = make_instructions(schedule, values)
    for mesh, instructions in enumerate(lists.meshes):
        for at in range(len(instructions)):
            rest = [*instructions[:at], *instructions[at + 1 :]]
            with pytest.raises(ScheduleError):
                verify_instructions(edited(lists, mesh, rest), schedule, values)


def test_verify_every_repeated_instruction_is_found() -> None:
    schedule, values = named("ONE_F_ONE_B", 2, 2), chain(2)
    lists = make_instructions(schedule, values)
    for mesh, instructions in enumerate(lists.meshes):
        for at in range(len(instructions)):
            more = [*instructions[: at + 1], *instructions[at:]]
            with pytest.raises(ScheduleError):
                verify_instructions(edited(lists, mesh, more), schedule, values)


def test_verify_every_early_free_is_found() -> None:
    schedule, values = named("ONE_F_ONE_B", 2, 2), chain(2)
    lists = make_instructions(schedule, values)
    for mesh, instructions in enumerate(lists.meshes):
        for at in range(1, len(instructions)):
            if isinstance(instructions[at], Free):
                early = list(instructions)
                early[at - 1], early[at] = early[at], early[at - 1]
                with pytest.raises(ScheduleError, match=r"freed|deadlock"):
                    verify_instructions(edited(lists, mesh, early), schedule, values)


def test_verify_names_what_is_wrong() -> None:
    schedule, values = named("ONE_F_ONE_B", 2, 2), chain(2)
    lists = make_instructions(schedule, values)
    first = list(lists.meshes[0])
    at = free_of("r0.0", first)
    kept = [*first[:at], *first[at + 1 :]]
    late = [*first[:at], first[at], first[at], *first[at + 1 :]]
    sends = [i for i in first if not (isinstance(i, Transfer) and "h0.1" in str(i))]
    sums: list[Instruction] = [i for i in first if not isinstance(i, StartSums)]
    (started,) = (i for i in first if i not in sums)
    cases = [
        (kept, "mesh 0: expected .* to be freed in the end"),
        (late, "mesh 0: expected .* to be there, it is freed"),
        (sends, r"deadlock: mesh 0 at .*, mesh 1 at 'run F1\.1"),
        (sums, r"deadlock: mesh 0 at 'run B0\.0"),
        ([*sums, started], r"deadlock: mesh 0 at 'run B0\.0"),
        ([started, *first], "expected one write of g0, got two"),
        (first[1:], "mesh 0: expected 5 runs, got 4"),
        ([*first, Run(Task(0, FORWARD), (), ())], "mesh 0: expected 5 runs, got 6"),
    ]
    for instructions, message in cases:
        with pytest.raises(ScheduleError, match=message):
            verify_instructions(edited(lists, 0, instructions), schedule, values)
    with pytest.raises(ScheduleError, match="lists for 2 meshes, got 0"):
        verify_instructions(InstructionLists(()), schedule, values)


def with_signature(
    stage: int, phase: Phase, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> PipelineValues:
    values = chain(2)
    signatures = {**values.signatures, TaskKind(stage, phase): Signature(inputs, outputs)}
    return dataclasses.replace(values, signatures=signatures)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (with_signature(0, FORWARD, ("w0", "?"), ("h0", "r0")), r"expected '\?' to be state"),
        (with_signature(0, FORWARD, ("x",), ("h0", "r0", "w1")), "one origin of 'w1', got two"),
        (with_signature(0, UPDATE, ("w0", "r0"), ("n0",)), "got 'r0', which exists once per micro"),
        (with_signature(0, FORWARD, ("g1",), ("h0", "r0")), "known before the update, got 'g1'"),
        (with_signature(0, FORWARD, ("n1",), ("h0", "r0")), "known before the update, got 'n1'"),
        (with_signature(0, UPDATE, (), ()), "expected a task that writes 'n0', or state"),
        (dataclasses.replace(chain(1), accumulated=frozenset(["x"])), "accumulated, got the batch"),
        (dataclasses.replace(chain(1), accumulated=frozenset(["w0"])), "accumulated, got state"),
        (with_signature(0, BACKWARD, ("r0", "d1"), ("g0",)), "to read the sum 'g0' .* of 2 micro"),
    ],
)  # fmt: skip
def test_check_bad_values_are_named(values: PipelineValues, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        make_instructions(named("ONE_F_ONE_B", 2, 2), values)


def test_values_that_flow_backwards_deadlock() -> None:
    """Forward of stage 0 reads what forward of stage 1 writes."""
    values = with_signature(0, FORWARD, ("w0", "x", "r1"), ("h0", "r0"))
    schedule = named("ONE_F_ONE_B", 2, 2)
    lists = make_instructions(schedule, values)
    with pytest.raises(ScheduleError, match=r"deadlock: mesh 0 at 'run F0\.0.*, mesh 1 at 'run F1"):
        verify_instructions(lists, schedule, values)
    with pytest.raises(ScheduleError, match="all 29 instructions, got stuck after 1"):
        issue_order(lists)


def test_issue_order_takes_turns() -> None:
    lists = make_instructions(named("ONE_F_ONE_B", 2, 2), chain(2))
    tasks = [str(i.task) for _, i in issue_order(lists) if isinstance(i, Run)]
    assert tasks == ["F0.0", "F1.0", "F0.1", "B1.0", "B0.0", "F1.1", "B1.1", "B0.1", "U1", "U0"]
