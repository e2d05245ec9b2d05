"""Types and placements of all buffers of a pipelined step, which need no devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alpa_mlir.ir.spec import Spec
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.program.placement import Placement
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer


class Placements:
    """Types and placements of a program's buffers, which need no devices."""

    def __init__(self, program: PipelineProgram[Any]) -> None:
        self._program = program
        self._types: dict[tuple[str, bool], Any] = {}
        self._placements: dict[tuple[int, str, bool], Placement] = {}
        self._find_types()
        self._find_placements()

    def aval(self, buffer: Buffer) -> Any:
        return self._types[buffer.value, self._is_slice(buffer)]

    def of(self, mesh: int, buffer: Buffer) -> Placement:
        """How it lies on the mesh: as it is written there, else as it is read there first."""
        return self._placements[mesh, buffer.value, self._is_slice(buffer)]

    def _is_slice(self, buffer: Buffer) -> bool:
        """A batch has two types: that of a microbatch and that of the whole."""
        return buffer.value in self._program.values.batch and buffer.microbatch is not None

    def _find_types(self) -> None:
        for kind, program in self._program.programs.items():
            signature = self._program.values.signatures[kind]
            for names, avals in (
                (signature.inputs, program.in_avals),
                (signature.outputs, program.out_avals),
            ):
                for name, aval in zip(names, avals, strict=True):
                    self._types[name, self._is_sliced(name, kind)] = aval

    def _find_placements(self) -> None:
        """Writers decide, then owners, then readers in the order of the mesh's tasks."""
        values = self._program.values
        owners = {argument.value: argument.owner for argument in self._program.arguments}
        for mesh, tasks in enumerate(values.working_tasks(self._program.schedule)):
            kinds = list(dict.fromkeys(task.kind for task in tasks))
            for kind in kinds:
                names, specs = (
                    values.signatures[kind].outputs,
                    self._program.programs[kind].out_specs,
                )
                for name, spec in zip(names, specs, strict=True):
                    self._placements[mesh, name, False] = self._on_stage(kind.stage, spec)
            reads = [(kind, *read) for kind in kinds for read in self._reads(kind)]
            for kind, name, is_slice, placement in reads:
                if owners.get(name) == kind.stage:
                    self._placements.setdefault((mesh, name, is_slice), placement)
            for _, name, is_slice, placement in reads:
                self._placements.setdefault((mesh, name, is_slice), placement)

    def _reads(self, kind: TaskKind) -> Iterator[tuple[str, bool, Placement]]:
        names = self._program.values.signatures[kind].inputs
        for name, spec in zip(names, self._program.programs[kind].in_specs, strict=True):
            yield name, self._is_sliced(name, kind), self._on_stage(kind.stage, spec)

    def _is_sliced(self, value: str, kind: TaskKind) -> bool:
        return value in self._program.values.batch and kind.phase.runs_per_microbatch

    def _on_stage(self, stage: int, spec: Spec) -> Placement:
        devices = self._program.stages[stage]
        return Placement(devices.mesh, tuple(devices.numbers), spec)
