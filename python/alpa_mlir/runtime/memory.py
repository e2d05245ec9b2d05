"""How much memory a step takes on each device, from what XLA reports of its executables.

Of a pipeline, the instructions are walked in the order of issue. A device holds the buffers that
are live on its meshes, and while a task runs also that executable's temporaries. The peak is

    max over tasks of (live buffers + results - donated inputs + temporaries of the executable)

Results that take the memory of donated inputs are counted once, inputs that a task has resharded
twice. Arrays that the user keeps (state that is not donated) live throughout. Reshards on the way
of a transfer are left out: their arrays are gone when it is done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from jax.sharding import NamedSharding

from alpa_mlir.program.pipeline import PipelineProgram, num_bytes
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.reductions import Reductions
from alpa_mlir.runtime.transfer.reshard import is_in_place
from alpa_mlir.schedule.instructions import Free, Instruction, Run, StartSums, Transfer
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer


def allocated_bytes(compiled: Any, platform: str) -> int:
    """The peak on one device while an executable runs: arguments, results and temporaries, less
    what results share with donated arguments.

    Args:
      platform: "cpu", or that of GPUs.
    """
    stats = compiled.memory_analysis()
    if platform != "cpu":
        return stats.peak_memory_in_bytes
    # XLA's own peak leaves temporaries out on CPUs.
    kept = stats.argument_size_in_bytes + stats.output_size_in_bytes
    return kept - stats.alias_size_in_bytes + stats.temp_size_in_bytes


def peak_bytes(
    program: PipelineProgram[Any],
    layout: Layout,
    instructions: Iterable[tuple[int, Instruction]],
    compiled: Mapping[TaskKind, Any],
    donations: Mapping[TaskKind, tuple[int, ...]],
) -> dict[Any, int]:
    """By device; see the formula at the head of this file.

    Args:
      instructions: of a step with their meshes, as they are issued.
    """
    memory = _Memory(program, layout)
    for mesh, instruction in instructions:
        match instruction:
            case Run():
                memory.reduce(mesh, instruction)
                converted = memory.converted_bytes(mesh, instruction)
                donated = [instruction.reads[i] for i in donations[instruction.task.kind]]
                for buffer in donated:
                    memory.release(mesh, buffer)
                for buffer in instruction.writes:
                    memory.hold(mesh, buffer)
                stats = compiled[instruction.task.kind].memory_analysis()
                memory.reach_peak(mesh, stats.temp_size_in_bytes + converted)
            case StartSums():
                for buffer in instruction.writes:
                    memory.hold(mesh, buffer)
            case Transfer():
                memory.reduce(mesh, instruction)
                for buffer in instruction.reads:
                    memory.hold(instruction.target, buffer)
            case Free():
                for buffer in instruction.reads:
                    memory.free(mesh, buffer)
    return dict(sorted(memory.peak.items(), key=lambda item: item[0].id))


class _Memory:
    """What is live on every device."""

    def __init__(self, program: PipelineProgram[Any], layout: Layout) -> None:
        self._layout = layout
        self._reductions = Reductions(layout)
        self._held: dict[tuple[int, Buffer], int] = {}
        self._live: defaultdict[Any, int] = defaultdict(int)
        self.peak: dict[Any, int] = {}
        self._of_user = {
            (program.home_meshes[argument.value], Buffer(argument.value))
            for argument in program.arguments
            if argument.owner is not None and not argument.is_donated
        }
        for mesh, buffer in dict.fromkeys(program.values.initial_buffers(program.schedule)):
            if program.home_meshes.get(buffer.value, mesh) == mesh:
                self.hold(mesh, buffer)
        for mesh in range(len(program.schedule.meshes)):
            self.reach_peak(mesh, 0)

    def hold(self, mesh: int, buffer: Buffer) -> None:
        """In place of what the buffer held before."""
        self.release(mesh, buffer)
        held = self._num_bytes(buffer, self._reductions.sharding(mesh, buffer))
        self._held[mesh, buffer] = held
        for device in self._layout.devices(mesh):
            self._live[device] += held

    def _num_bytes(self, buffer: Buffer, sharding: NamedSharding) -> int:
        """On a device."""
        aval = self._layout.aval(buffer)
        return num_bytes(sharding.shard_shape(aval.shape), aval.dtype)

    def reduce(self, mesh: int, instruction: Run | Transfer) -> None:
        """Sums in parts that it reads are replaced; what does not take their place is beside them
        until then."""
        ends = self._reductions.reduce(mesh, instruction)
        changed = [
            (buffer, source, target)
            for buffer, source, target in zip(instruction.reads, *ends, strict=True)
            if source != target
        ]
        beside = sum(
            self._num_bytes(buffer, target)
            for buffer, source, target in changed
            if not is_in_place(self._layout.aval(buffer).shape, source, target)
        )
        self.reach_peak(mesh, beside)
        for buffer, _, _ in changed:
            self.hold(mesh, buffer)

    def converted_bytes(self, mesh: int, run: Run) -> int:
        """Of inputs that lie otherwise than the task reads them."""
        total = 0
        for buffer, wanted in zip(run.reads, self._layout.in_shardings(run.task.kind), strict=True):
            if self._reductions.sharding(mesh, buffer) != wanted:
                total += self._num_bytes(buffer, wanted)
        return total

    def free(self, mesh: int, buffer: Buffer) -> None:
        if (mesh, buffer) not in self._of_user:
            self.release(mesh, buffer)

    def release(self, mesh: int, buffer: Buffer) -> None:
        """Nothing if the buffer has become another, as donated ones have."""
        held = self._held.pop((mesh, buffer), 0)
        for device in self._layout.devices(mesh):
            self._live[device] -= held

    def reach_peak(self, mesh: int, temporary: int) -> None:
        for device in self._layout.devices(mesh):
            self.peak[device] = max(self.peak.get(device, 0), self._live[device] + temporary)
