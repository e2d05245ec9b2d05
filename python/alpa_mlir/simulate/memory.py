"""What a device of every stage holds over time in a step whose times are known.

What a task writes is there from its start, what a transfer brings from the transfer's start. Memory
is free when the task behind which the instructions free it has ended, and its transfers too. State
that the user gives away makes place for its next value when the update starts; other state stays.
"""

from __future__ import annotations

from collections import defaultdict

from alpa_mlir.schedule.instructions import Free, Instruction, Run, StartSums
from alpa_mlir.schedule.schedule import Phase, Task
from alpa_mlir.schedule.values import Buffer
from alpa_mlir.simulate.events import MemoryCurve
from alpa_mlir.simulate.step import ClockedStep, PlannedStep


def memory_curves(clocked: ClockedStep) -> tuple[MemoryCurve, ...]:
    """One for every stage."""
    step = clocked.step
    changes = [_Changes(clocked, mesh) for mesh in range(len(step.lists.meshes))]
    for mesh, buffer in dict.fromkeys(step.values.initial_buffers(step.schedule)):
        changes[mesh].hold(0.0, buffer)
    for shipment, (_, start, end) in zip(
        clocked.shipments, clocked.simulated.transfers, strict=True
    ):
        for buffer in shipment.buffers:
            if shipment.after is not None:  # copies of state are there from the beginning
                changes[shipment.target].hold(start, buffer)
            changes[shipment.source].keep_until(end, buffer)
    for mesh, instructions in enumerate(step.lists.meshes):
        changes[mesh].follow(instructions)
    limit = step.plan.cluster.device.memory_bytes
    return tuple(each.curve(limit) for each in changes)


def user_keeps(step: PlannedStep, mesh: int, buffer: Buffer) -> bool:
    """Whether it lives on after the instructions have freed it."""
    group = step.groups[buffer.value]
    return group.writer is None and group.owner == mesh and not group.is_donated


def reused_bytes(step: PlannedStep, run: Run) -> int:
    """What an update writes in place of state that is given away and that only it still reads."""
    if run.task.phase != Phase.UPDATE:
        return 0
    stage = run.task.stage

    def num_bytes(buffers: set[Buffer]) -> int:
        return sum(step.bytes_per_device(stage, buffer.value) for buffer in buffers)

    given = {
        buffer
        for buffer in run.reads
        if (group := step.groups[buffer.value]).is_donated and group.owner == stage
    }
    last = {b for b in given if last_reader(step, stage, b) == run.task}
    return min(num_bytes(last), num_bytes(set(run.writes) - set(run.reads)))


def last_reader(step: PlannedStep, mesh: int, buffer: Buffer) -> Task | None:
    runs = (i for i in reversed(step.lists.meshes[mesh]) if isinstance(i, Run))
    return next((run.task for run in runs if buffer in run.reads), None)


class _Changes:
    """Of the bytes on one mesh, by time."""

    def __init__(self, clocked: ClockedStep, mesh: int) -> None:
        self.step, self.times, self.mesh = clocked.step, clocked.times, mesh
        self.changes: defaultdict[float, int] = defaultdict(int)
        self.kept_until: dict[Buffer, float] = {}

    def add(self, seconds: float, num_bytes: int) -> None:
        self.changes[seconds] += num_bytes

    def hold(self, seconds: float, buffer: Buffer) -> None:
        self.add(seconds, self.step.bytes_per_device(self.mesh, buffer.value))

    def keep_until(self, seconds: float, buffer: Buffer) -> None:
        """It is being sent till then."""
        self.kept_until[buffer] = max(seconds, self.kept_until.get(buffer, 0.0))

    def follow(self, instructions: tuple[Instruction, ...]) -> None:
        sums: tuple[Buffer, ...] = ()
        end = 0.0  # of the task last run
        for instruction in instructions:
            match instruction:
                case StartSums():
                    sums = instruction.writes
                case Run():
                    end = self._run(instruction, sums)
                    sums = ()
                case Free():
                    for buffer in instruction.reads:
                        self._free(end, buffer)
                case _:
                    pass

    def _run(self, run: Run, sums: tuple[Buffer, ...]) -> float:
        start, end = self.times[run.task]
        stage = self.step.plan.stages[run.task.stage]
        for buffer in (*sums, *(each for each in run.writes if each not in run.reads)):
            self.hold(start, buffer)
        reused = reused_bytes(self.step, run)
        self.add(start, -reused)
        self.add(end, reused)
        if run.task.phase != Phase.PROLOGUE:
            temporary = getattr(stage.temporary_bytes, run.task.phase.name.lower())
            self.add(start, temporary)
            self.add(end, -temporary)
        return end

    def _free(self, seconds: float, buffer: Buffer) -> None:
        if not user_keeps(self.step, self.mesh, buffer):
            held = self.step.bytes_per_device(self.mesh, buffer.value)
            self.add(max(seconds, self.kept_until.get(buffer, 0.0)), -held)

    def curve(self, limit_bytes: int) -> MemoryCurve:
        seconds: list[float] = []
        held: list[int] = []
        total = 0
        for time, change in sorted(self.changes.items()):
            if change or not seconds:
                total += change
                seconds.append(time)
                held.append(total)
        return MemoryCurve(self.mesh, tuple(seconds), tuple(held), limit_bytes)
