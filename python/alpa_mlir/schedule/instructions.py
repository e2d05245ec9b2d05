"""The static instruction list of every mesh, made from a schedule and the values of its tasks.

Nothing is decided while a step runs: an executor issues these lists as they stand. A transfer is
in the list of the mesh that sends, right behind the task that wrote the value; the mesh that
receives waits only where it reads. `interpret` proves the lists.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.schedule import Schedule, Task
from alpa_mlir.schedule.values import Buffer, PipelineValues


@dataclass(frozen=True)
class Run:
    """Runs the executable of the task's kind."""

    task: Task
    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]

    def __str__(self) -> str:
        return f"run {self.task} ({_names(self.reads)}) -> ({_names(self.writes)})"


@dataclass(frozen=True)
class StartSums:
    """Creates sums over microbatches with nothing in them yet; tasks add to them in place."""

    writes: tuple[Buffer, ...]
    reads: ClassVar[tuple[Buffer, ...]] = ()

    def __str__(self) -> str:
        return f"start sums {_names(self.writes)}"


@dataclass(frozen=True)
class Transfer:
    """Sends copies to another mesh; the sender keeps its own."""

    reads: tuple[Buffer, ...]
    target: int
    writes: ClassVar[tuple[Buffer, ...]] = ()

    def __str__(self) -> str:
        return f"transfer {_names(self.reads)} to mesh {self.target}"


@dataclass(frozen=True)
class Free:
    """Ends the life of buffers on this mesh."""

    reads: tuple[Buffer, ...]
    writes: ClassVar[tuple[Buffer, ...]] = ()

    def __str__(self) -> str:
        return f"free {_names(self.reads)}"


Instruction = StartSums | Run | Transfer | Free


@dataclass(frozen=True)
class InstructionLists:
    """One list per mesh, in the order of the schedule's meshes."""

    meshes: tuple[tuple[Instruction, ...], ...]

    def __str__(self) -> str:
        lines: list[str] = []
        for mesh, instructions in enumerate(self.meshes):
            lines.append(f"mesh {mesh}:")
            lines += [f"  {instruction}" for instruction in instructions]
        return "\n".join(lines)


def make_instructions(schedule: Schedule, values: PipelineValues) -> InstructionLists:
    """The lists that run `schedule` on `values`.

    Raises:
      ScheduleError: the values are malformed, have work for a task that is not scheduled, or a sum
        over several microbatches that its writer does not add to. That the lists run to their end
        depends on the values too; `verify_instructions` proves it.
    """
    values.check()
    _check_kinds(schedule, values)
    _check_sums(schedule, values)
    targets = _find_targets(schedule, values)
    kept = _by_mesh(values.final_buffers(schedule))
    return InstructionLists(
        tuple(
            tuple(_with_frees(list(_issue(tasks, values, targets)), kept[mesh]))
            for mesh, tasks in enumerate(values.working_tasks(schedule))
        )
    )


def _check_kinds(schedule: Schedule, values: PipelineValues) -> None:
    scheduled = {task.kind for tasks in schedule.meshes for task in tasks}
    for kind in values.signatures:
        if kind not in scheduled:
            raise ScheduleError(
                f"expected a task for each signature in schedule '{schedule.name}', got none for "
                f"{kind}"
            )


def _check_sums(schedule: Schedule, values: PipelineValues) -> None:
    for kind, signature in values.signatures.items():
        for value in signature.outputs:
            is_sum = value in values.accumulated and value not in signature.sums
            if is_sum and schedule.num_microbatches > 1:
                raise ScheduleError(
                    f"expected {kind} to read the sum '{value}' that it adds to in each of "
                    f"{schedule.num_microbatches} microbatches, got one that only writes it"
                )


def _find_targets(schedule: Schedule, values: PipelineValues) -> dict[Buffer, list[int]]:
    """The meshes each written buffer goes to, other than its own."""
    home = {
        value: schedule.mesh_of_stage[kind.stage]
        for kind, signature in values.signatures.items()
        for value in signature.outputs
    }
    wanted = _by_mesh(values.final_buffers(schedule))
    for mesh, tasks in enumerate(schedule.meshes):
        wanted[mesh].update(buffer for task in tasks for buffer in values.inputs(task))
    targets: defaultdict[Buffer, list[int]] = defaultdict(list)
    for mesh in range(len(schedule.meshes)):
        for buffer in wanted[mesh]:
            if home.get(buffer.value, mesh) != mesh:
                targets[buffer].append(mesh)
    return targets


def _by_mesh(buffers: Iterator[tuple[int, Buffer]]) -> defaultdict[int, set[Buffer]]:
    sets: defaultdict[int, set[Buffer]] = defaultdict(set)
    for mesh, buffer in buffers:
        sets[mesh].add(buffer)
    return sets


def _issue(
    tasks: tuple[Task, ...], values: PipelineValues, targets: dict[Buffer, list[int]]
) -> Iterator[list[Instruction]]:
    """Every task with what follows from its outputs, buffers not yet freed."""
    first = {task.kind: task for task in reversed(tasks)}
    last = {task.kind: task for task in tasks}
    for task in tasks:
        group: list[Instruction] = []
        sums = tuple(map(Buffer, values.signature(task).sums))
        if sums and task == first[task.kind]:
            group.append(StartSums(sums))
        outputs = values.outputs(task)
        group.append(Run(task, values.inputs(task), outputs))
        sent: defaultdict[int, list[Buffer]] = defaultdict(list)
        for buffer in outputs:
            if buffer in sums and task != last[task.kind]:
                continue
            for target in targets.get(buffer, ()):
                sent[target].append(buffer)
        group += [Transfer(tuple(sent[target]), target) for target in sorted(sent)]
        yield group


def _with_frees(groups: list[list[Instruction]], kept: set[Buffer]) -> Iterator[Instruction]:
    """Frees each buffer behind the last task that touches it, in one instruction per task."""
    touched = [
        dict.fromkeys(buffer for i in group for buffer in (*i.reads, *i.writes)) for group in groups
    ]
    last = {buffer: index for index, buffers in enumerate(touched) for buffer in buffers}
    for index, (group, buffers) in enumerate(zip(groups, touched, strict=True)):
        yield from group
        dead = tuple(b for b in buffers if last[b] == index and b not in kept)
        if dead:
            yield Free(dead)


def _names(buffers: tuple[Buffer, ...]) -> str:
    return ", ".join(map(str, buffers))
