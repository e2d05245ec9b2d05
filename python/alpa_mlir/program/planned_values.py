"""What the tasks of a pipeline read and write, as a plan keeps it: enough to simulate a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alpa_mlir.plan.data import (
    HeldValues,
    PhaseName,
    PlannedTask,
    PlannedTransfer,
    PlannedValues,
    bytes_per_device,
)
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.program.placements import Placements
from alpa_mlir.schedule.schedule import Phase, TaskKind
from alpa_mlir.schedule.values import Buffer

_PHASE_NAMES: Mapping[Phase, PhaseName] = {
    Phase.PROLOGUE: "prologue",
    Phase.FORWARD: "forward",
    Phase.BACKWARD: "backward",
    Phase.UPDATE: "update",
}


def planned_values(
    program: PipelineProgram[Any], transfers: Sequence[PlannedTransfer]
) -> tuple[PlannedValues, ...]:
    """All values; those with the same writer, readers and places are one entry.

    Args:
      transfers: with the bytes that stages receive of each value.
    """
    groups: dict[PlannedValues, PlannedValues] = {}
    for values in _Describer(program, transfers).values():
        key = replace(values, held=tuple(HeldValues(each.stage, 0, 0) for each in values.held))
        known = groups.get(key)
        groups[key] = values if known is None else _joined(known, values)
    return tuple(groups.values())


def _joined(first: PlannedValues, second: PlannedValues) -> PlannedValues:
    held = tuple(
        HeldValues(
            a.stage, a.bytes_per_device + b.bytes_per_device, a.received_bytes + b.received_bytes
        )
        for a, b in zip(first.held, second.held, strict=True)
    )
    return replace(first, count=first.count + second.count, held=held)


class _Describer:
    """Every value as an entry of its own."""

    def __init__(self, program: PipelineProgram[Any], transfers: Sequence[PlannedTransfer]) -> None:
        self.program = program
        self.placements = Placements(program)
        self.arguments = {argument.value: argument for argument in program.arguments}
        self.received = {(each.value, each.target): each.bytes for each in transfers}

    def values(self) -> Iterator[PlannedValues]:
        signatures = self.program.values.signatures.values()
        read = (value for signature in signatures for value in signature.inputs)
        written = (value for signature in signatures for value in signature.outputs)
        for value in dict.fromkeys((*read, *written, *sorted(self.program.values.kept))):
            readers = self.program.readers(value)
            if value not in self.program.values.batch:
                yield self._entry(value, readers, self.program.values.is_per_microbatch(value))
                continue
            # A batch is there as a whole and in slices, which are buffers of their own.
            for is_slice in (False, True):
                some = [kind for kind in readers if kind.phase.runs_per_microbatch == is_slice]
                if some:
                    yield self._entry(value, some, is_slice)

    def _entry(
        self, value: str, readers: Sequence[TaskKind], is_per_microbatch: bool
    ) -> PlannedValues:
        program, argument = self.program, self.arguments.get(value)
        writer, owner = program.writer(value), argument and argument.owner
        kept = program.values.kept.get(value, frozenset())
        home = writer.stage if writer else owner
        stages = {*(kind.stage for kind in readers), *kept, home} - {None}
        return PlannedValues(
            count=1,
            writer=None if writer is None else _task(writer),
            readers=tuple(map(_task, readers)),
            held=tuple(
                self._held(value, stage, is_per_microbatch, home)
                for stage in sorted(stage for stage in stages if stage is not None)
            ),
            is_per_microbatch=is_per_microbatch,
            is_sum=value in program.values.accumulated,
            is_donated=argument is not None and argument.is_donated and owner is not None,
            owner=owner,
            kept_on=tuple(sorted(kept)),
        )

    def _held(
        self, value: str, stage: int, is_per_microbatch: bool, home: int | None
    ) -> HeldValues:
        buffer = Buffer(value, 0 if is_per_microbatch else None)
        mesh = self.program.schedule.mesh_of_stage[stage]
        aval, placement = self.placements.aval(buffer), self.placements.of(mesh, buffer)
        return HeldValues(
            stage,
            bytes_per_device(
                tuple(aval.shape), aval.dtype.itemsize, placement.spec, placement.mesh
            ),
            0 if home in (None, stage) else self.received.get((value, stage), 0),
        )


def _task(kind: TaskKind) -> PlannedTask:
    return PlannedTask(kind.stage, _PHASE_NAMES[kind.phase], kind.round)


def converted_bytes(program: PipelineProgram[Any], placements: Placements, kind: TaskKind) -> int:
    """On a device, of what a task has resharded before it reads it, as it lies then.

    Sums in parts that an all-reduce adds keep their place.

    Args:
      placements: those of the program.
    """
    interface = program.programs[kind]
    home, mesh = program.schedule.mesh_of_stage[kind.stage], program.stages[kind.stage].mesh
    microbatch = 0 if kind.phase.runs_per_microbatch else None
    names = program.values.signatures[kind].inputs
    total = 0
    for name, spec, aval in zip(names, interface.in_specs, interface.in_avals, strict=True):
        lies = placements.of(home, program.values.as_read(name, microbatch)).spec
        if tuple(lies) != tuple(spec):
            total += bytes_per_device(tuple(aval.shape), aval.dtype.itemsize, spec, mesh)
    return total
