"""Where buffers of a step lie: their types, placements on each mesh, and slots in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jax.sharding import Mesh, NamedSharding

from alpa_mlir.errors import ClusterError
from alpa_mlir.ir.spec import Spec, named_sharding
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.program.placement import Placement
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer


class Placements:
    """Types and placements of a program's buffers, which need no devices."""

    def __init__(self, program: PipelineProgram) -> None:
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


class Layout:
    """Types, shardings and slots of a program's buffers on these devices.

    Attributes:
      stage_meshes: JAX's mesh of every stage.
    """

    def __init__(self, program: PipelineProgram, devices: Sequence[Any]) -> None:
        self._program = program
        self._devices = dict(enumerate(devices))
        self._placements = Placements(program)
        self.stage_meshes = _stage_meshes(program, devices)
        self._slots: dict[tuple[int, Buffer], int] = {}
        self._shardings: dict[Placement, NamedSharding] = {}

    @property
    def num_slots(self) -> int:
        return len(self._slots)

    def slot(self, mesh: int, buffer: Buffer) -> int:
        return self._slots.setdefault((mesh, buffer), len(self._slots))

    def slots(self, mesh: int, buffers: Sequence[Buffer]) -> tuple[int, ...]:
        return tuple(self.slot(mesh, buffer) for buffer in buffers)

    def aval(self, buffer: Buffer) -> Any:
        return self._placements.aval(buffer)

    def sharding(self, mesh: int, buffer: Buffer) -> NamedSharding:
        """How it lies on the mesh: as it is written there, else as it is read there first."""
        placement = self._placements.of(mesh, buffer)
        if placement not in self._shardings:
            self._shardings[placement] = placement.sharding(self._devices)
        return self._shardings[placement]

    def in_shardings(self, kind: TaskKind) -> list[NamedSharding]:
        mesh = self.stage_meshes[kind.stage]
        return [named_sharding(mesh, spec) for spec in self._program.programs[kind].in_specs]

    def out_shardings(self, kind: TaskKind) -> list[NamedSharding]:
        mesh = self.stage_meshes[kind.stage]
        return [named_sharding(mesh, spec) for spec in self._program.programs[kind].out_specs]

    def devices(self, mesh: int) -> frozenset[Any]:
        stages = [s for s, home in self._program.schedule.mesh_of_stage.items() if home == mesh]
        return frozenset(device for s in stages for device in self.stage_meshes[s].devices.flat)


def _stage_meshes(program: PipelineProgram, devices: Sequence[Any]) -> list[Mesh]:
    needed = max(stage.numbers.stop for stage in program.stages)
    if len(devices) < needed:
        raise ClusterError(
            f"expected {needed} devices for the {len(program.stages)} stages of "
            f"'{program.name}', got {len(devices)}; on CPU set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={needed} before importing jax"
        )
    return [stage.mesh.over([devices[i] for i in stage.numbers]) for stage in program.stages]
