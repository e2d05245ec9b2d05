"""Where buffers of a step lie on devices: their shardings, and slots in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from alpa_mlir.errors import ClusterError
from alpa_mlir.ir.spec import named_sharding
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineArgument, PipelineProgram
from alpa_mlir.program.placement import Placement
from alpa_mlir.program.placements import Placements
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer


class Layout:
    """Types, shardings and slots of a program's buffers on these devices.

    Attributes:
      stage_meshes: JAX's mesh of every stage.
    """

    def __init__(self, program: PipelineProgram[AnnotatedProgram], devices: Sequence[Any]) -> None:
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

    def owned(self, argument: PipelineArgument) -> NamedSharding | None:
        """How an argument lies on the mesh that owns it, if one does."""
        if argument.owner is None:
            return None
        return self.sharding(self._program.home_meshes[argument.value], Buffer(argument.value))

    def kept(self, argument: PipelineArgument) -> NamedSharding:
        """How state lies between steps, whether a task reads it or not."""
        return self.owned(argument) or NamedSharding(self.stage_meshes[0], PartitionSpec())

    def in_shardings(self, kind: TaskKind) -> list[NamedSharding]:
        mesh = self.stage_meshes[kind.stage]
        return [named_sharding(mesh, spec) for spec in self._program.programs[kind].in_specs]

    def devices(self, mesh: int) -> frozenset[Any]:
        stages = [s for s, home in self._program.schedule.mesh_of_stage.items() if home == mesh]
        return frozenset(device for s in stages for device in self.stage_meshes[s].devices.flat)


def _stage_meshes(program: PipelineProgram[AnnotatedProgram], devices: Sequence[Any]) -> list[Mesh]:
    needed = max(stage.numbers.stop for stage in program.stages)
    if len(devices) < needed:
        raise ClusterError(
            f"expected {needed} devices for the {len(program.stages)} stages of "
            f"'{program.name}', got {len(devices)}; on CPU set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={needed} before importing jax"
        )
    return [stage.mesh.over([devices[i] for i in stage.numbers]) for stage in program.stages]
