"""Proves instruction lists by running them on symbols, knowing nothing of how they were made.

Every mesh has a store of buffers. A buffer holds the set of microbatches that went into it, so that
a sum that is read too early is found, or gets a microbatch twice, as are reads of what is freed,
double frees and leaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.instructions import (
    Free,
    Instruction,
    InstructionLists,
    Run,
    StartSums,
    Transfer,
)
from alpa_mlir.schedule.rendezvous import verify_lists_meet
from alpa_mlir.schedule.schedule import Schedule
from alpa_mlir.schedule.values import Buffer, PipelineValues


def verify_instructions(
    lists: InstructionLists, schedule: Schedule, values: PipelineValues
) -> None:
    """Proves that the lists compute what the schedule says.

    Raises:
      ScheduleError: tasks are not those of the schedule, or read or write other buffers; a buffer
        is read before it is written or after it is freed, written twice, freed twice or never; a
        sum is used before all microbatches are in it; or the meshes wait for one another for ever,
        where sends wait for nothing or where they wait for their receives.
    """
    _verify_tasks(lists, schedule, values)
    meshes = [_MeshStore(mesh, schedule.num_microbatches) for mesh in range(len(lists.meshes))]
    for mesh, buffer in set(values.initial_buffers(schedule)):
        meshes[mesh].define(buffer, _contents(buffer))
    _run(lists, meshes, values.accumulated)
    expected = set(values.final_buffers(schedule))
    got = {(store.mesh, buffer) for store in meshes for buffer in store.live}
    for mesh, buffer in sorted(expected ^ got, key=str):
        end = "there" if (mesh, buffer) in expected else "freed"
        raise ScheduleError(f"mesh {mesh}: expected {buffer} to be {end} in the end")
    for mesh, buffer in sorted(expected, key=str):
        meshes[mesh].check_sums((buffer,), values.accumulated)
    verify_lists_meet(lists)


def live_buffers(
    lists: InstructionLists,
    schedule: Schedule,
    values: PipelineValues,
    order: Iterable[tuple[int, Instruction]],
) -> Iterator[tuple[frozenset[Buffer], ...]]:
    """Of every mesh what is there before the step, and after each instruction issued in this order.

    Args:
      order: meshes and instructions; those of a mesh may come in another order than in its list,
        as long as what they read is there.

    Raises:
      ScheduleError: an instruction reads what is not there, or frees or writes it twice.
    """
    meshes = [_MeshStore(mesh, schedule.num_microbatches) for mesh in range(len(lists.meshes))]
    for mesh, buffer in set(values.initial_buffers(schedule)):
        meshes[mesh].define(buffer, _contents(buffer))
    yield tuple(frozenset(store.live) for store in meshes)
    for mesh, instruction in order:
        if not _execute(instruction, mesh, meshes, values.accumulated):
            raise ScheduleError(f"mesh {mesh}: expected what '{instruction}' reads to be there")
        yield tuple(frozenset(store.live) for store in meshes)


class _MeshStore:
    """The buffers of one mesh and what is in them."""

    def __init__(self, mesh: int, num_microbatches: int) -> None:
        self.mesh = mesh
        self.live: dict[Buffer, frozenset[int]] = {}
        self._freed: set[Buffer] = set()
        self._num_microbatches = num_microbatches

    def is_awaiting(self, buffers: tuple[Buffer, ...]) -> bool:
        """Whether one of them is not there yet; one that was there is an error."""
        for buffer in buffers:
            if buffer in self._freed:
                raise ScheduleError(f"mesh {self.mesh}: expected {buffer} to be there, it is freed")
        return any(buffer not in self.live for buffer in buffers)

    def define(self, buffer: Buffer, contents: frozenset[int]) -> None:
        if buffer in self.live or buffer in self._freed:
            raise ScheduleError(f"mesh {self.mesh}: expected one write of {buffer}, got two")
        self.live[buffer] = contents

    def add(self, total: Buffer, microbatch: int) -> None:
        if microbatch in self.live[total]:
            raise ScheduleError(
                f"mesh {self.mesh}: expected microbatch {microbatch} once in {total}, got it twice"
            )
        self.live[total] |= {microbatch}

    def run(self, run: Run, accumulated: frozenset[str]) -> None:
        sums = {buffer for buffer in run.writes if buffer in run.reads}
        self.check_sums(tuple(b for b in run.reads if b not in sums), accumulated)
        for buffer in run.writes:
            if buffer in sums:
                self.add(buffer, run.task.microbatch)
            elif buffer.value in accumulated:  # the part of the only microbatch
                self.define(buffer, frozenset([run.task.microbatch]))
            else:
                self.define(buffer, _contents(buffer))

    def check_sums(self, buffers: tuple[Buffer, ...], accumulated: frozenset[str]) -> None:
        for buffer in buffers:
            is_sum = buffer.microbatch is None and buffer.value in accumulated
            if is_sum and len(self.live[buffer]) != self._num_microbatches:
                raise ScheduleError(
                    f"mesh {self.mesh}: expected all {self._num_microbatches} microbatches in "
                    f"{buffer} when it is used or kept, got {sorted(self.live[buffer])}"
                )

    def free(self, buffer: Buffer) -> None:
        del self.live[buffer]
        self._freed.add(buffer)


def _contents(buffer: Buffer) -> frozenset[int]:
    return frozenset() if buffer.microbatch is None else frozenset([buffer.microbatch])


def _run(lists: InstructionLists, meshes: list[_MeshStore], accumulated: frozenset[str]) -> None:
    position = [0] * len(meshes)
    has_moved = True
    while has_moved:
        has_moved = False
        for mesh, instructions in enumerate(lists.meshes):
            while position[mesh] < len(instructions):
                if not _execute(instructions[position[mesh]], mesh, meshes, accumulated):
                    break
                position[mesh] += 1
                has_moved = True
    waiting = [
        f"mesh {mesh} at '{instructions[position[mesh]]}'"
        for mesh, instructions in enumerate(lists.meshes)
        if position[mesh] < len(instructions)
    ]
    if waiting:
        raise ScheduleError(
            "expected every instruction to run, got a deadlock: " + ", ".join(waiting)
        )


def _execute(
    instruction: Instruction, mesh: int, meshes: list[_MeshStore], accumulated: frozenset[str]
) -> bool:
    """Runs the instruction; False if it has to wait."""
    store = meshes[mesh]
    if store.is_awaiting(instruction.reads):
        return False
    match instruction:
        case StartSums():
            for buffer in instruction.writes:
                store.define(buffer, frozenset())
        case Run():
            store.run(instruction, accumulated)
        case Transfer():
            store.check_sums(instruction.reads, accumulated)
            for buffer in instruction.reads:
                meshes[instruction.target].define(buffer, store.live[buffer])
        case Free():
            for buffer in instruction.reads:
                store.free(buffer)
    return True


def _verify_tasks(lists: InstructionLists, schedule: Schedule, values: PipelineValues) -> None:
    """The tasks, their order and what they read and write are the schedule's."""
    if len(lists.meshes) != len(schedule.meshes):
        raise ScheduleError(
            f"expected lists for {len(schedule.meshes)} meshes, got {len(lists.meshes)}"
        )
    working = values.working_tasks(schedule)
    for mesh, (instructions, tasks) in enumerate(zip(lists.meshes, working, strict=True)):
        got = [instruction for instruction in instructions if isinstance(instruction, Run)]
        expected = [Run(task, values.inputs(task), values.outputs(task)) for task in tasks]
        if len(got) != len(expected):
            raise ScheduleError(f"mesh {mesh}: expected {len(expected)} runs, got {len(got)}")
        for want, have in zip(expected, got, strict=True):
            if want != have:
                raise ScheduleError(f"mesh {mesh}: expected '{want}', got '{have}'")
