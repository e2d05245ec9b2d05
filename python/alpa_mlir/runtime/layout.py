"""Where every buffer of a step lies: its type, its sharding on each mesh, its slot in the store."""

# JAX declares only part of its types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jax.sharding import Mesh, NamedSharding

from alpa_mlir.cluster.spec import named_sharding
from alpa_mlir.errors import ClusterError
from alpa_mlir.runtime.program import PipelineProgram
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer


class Layout:
    """Types, shardings and slots of a program's buffers on these devices.

    Attributes:
      stage_meshes: JAX's mesh of every stage.
    """

    def __init__(self, program: PipelineProgram, devices: Sequence[Any]) -> None:
        self._program = program
        self._schedule, self._values = program.schedule, program.values
        self.stage_meshes = _stage_meshes(program, devices)
        self._slots: dict[tuple[int, Buffer], int] = {}
        self._types: dict[tuple[str, bool], Any] = {}
        self._shardings: dict[tuple[int, str, bool], NamedSharding] = {}
        self._find_types()
        self._find_shardings()

    @property
    def num_slots(self) -> int:
        return len(self._slots)

    def slot(self, mesh: int, buffer: Buffer) -> int:
        return self._slots.setdefault((mesh, buffer), len(self._slots))

    def slots(self, mesh: int, buffers: Sequence[Buffer]) -> tuple[int, ...]:
        return tuple(self.slot(mesh, buffer) for buffer in buffers)

    def aval(self, buffer: Buffer) -> Any:
        return self._types[buffer.value, self._is_slice(buffer)]

    def sharding(self, mesh: int, buffer: Buffer) -> NamedSharding:
        """How it lies on the mesh: as it is written there, else as it is read there first."""
        return self._shardings[mesh, buffer.value, self._is_slice(buffer)]

    def in_shardings(self, kind: TaskKind) -> list[NamedSharding]:
        mesh = self.stage_meshes[kind.stage]
        return [named_sharding(mesh, spec) for spec in self._program.programs[kind].in_specs]

    def out_shardings(self, kind: TaskKind) -> list[NamedSharding]:
        mesh = self.stage_meshes[kind.stage]
        return [named_sharding(mesh, spec) for spec in self._program.programs[kind].out_specs]

    def devices(self, mesh: int) -> frozenset[Any]:
        stages = [s for s, home in self._schedule.mesh_of_stage.items() if home == mesh]
        return frozenset(device for s in stages for device in self.stage_meshes[s].devices.flat)

    def _is_slice(self, buffer: Buffer) -> bool:
        """A batch has two types: that of a microbatch and that of the whole."""
        return buffer.value in self._values.batch and buffer.microbatch is not None

    def _find_types(self) -> None:
        for kind, program in self._program.programs.items():
            signature = self._values.signatures[kind]
            for names, avals in (
                (signature.inputs, program.in_avals),
                (signature.outputs, program.out_avals),
            ):
                for name, aval in zip(names, avals, strict=True):
                    self._types[name, self._is_sliced(name, kind)] = aval

    def _find_shardings(self) -> None:
        """Writers decide, then owners, then readers in the order of the mesh's tasks."""
        owners = {argument.value: argument.owner for argument in self._program.arguments}
        for mesh, tasks in enumerate(self._values.working_tasks(self._schedule)):
            kinds = list(dict.fromkeys(task.kind for task in tasks))
            for kind in kinds:
                names = self._values.signatures[kind].outputs
                for name, sharding in zip(names, self.out_shardings(kind), strict=True):
                    self._shardings[mesh, name, False] = sharding
            reads = [(kind, *read) for kind in kinds for read in self._reads(kind)]
            for kind, name, is_slice, sharding in reads:
                if owners.get(name) == kind.stage:
                    self._shardings.setdefault((mesh, name, is_slice), sharding)
            for _, name, is_slice, sharding in reads:
                self._shardings.setdefault((mesh, name, is_slice), sharding)

    def _reads(self, kind: TaskKind) -> Iterator[tuple[str, bool, NamedSharding]]:
        names = self._values.signatures[kind].inputs
        for name, sharding in zip(names, self.in_shardings(kind), strict=True):
            yield name, self._is_sliced(name, kind), sharding

    def _is_sliced(self, value: str, kind: TaskKind) -> bool:
        return value in self._values.batch and kind.phase.runs_per_microbatch


def _stage_meshes(program: PipelineProgram, devices: Sequence[Any]) -> list[Mesh]:
    needed = max(stage.numbers.stop for stage in program.stages)
    if len(devices) < needed:
        raise ClusterError(
            f"expected {needed} devices for the {len(program.stages)} stages of "
            f"'{program.name}', got {len(devices)}; on CPU set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={needed} before importing jax"
        )
    return [stage.mesh.over([devices[i] for i in stage.numbers]) for stage in program.stages]
