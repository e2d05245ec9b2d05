"""Says of a step in hand, for a wait graph, what is issued where, for whom and with whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from alpa_mlir.runtime.issued import IssuedInstruction
from alpa_mlir.schedule.instructions import Free, Instruction, Run, Transfer
from alpa_mlir.schedule.values import Buffer

_MAX_NAMES = 3


@dataclass(frozen=True, eq=False)
class PipelineView:
    """A step of a pipeline.

    Attributes:
      issued: by this process, in order. devices: of each mesh.
    """

    issued: Sequence[IssuedInstruction]
    devices: Sequence[Collection[Any]]

    def place(self, position: int) -> str:
        if (each := self._at(position)) is None:
            return "placing arguments" if position < 0 else "collecting results"
        return f"{_short(each.instruction)} on mesh {each.mesh}"

    def reader(self, position: int) -> str:
        each = self._at(position)
        if each is None or not isinstance(each.instruction, Transfer):
            return self.place(position)
        sent, target = set(each.instruction.reads), each.instruction.target
        for later in self.issued[position + 1 :]:
            if later.mesh == target and not sent.isdisjoint(later.instruction.reads):
                return f"{_short(later.instruction)} on mesh {target}"
        return self.place(position)

    def buffers(self, position: int) -> str:
        each = self._at(position)
        if each is None:
            return "arguments" if position < 0 else "results"
        return f"{_names(each.instruction.reads)} of mesh {each.mesh}"

    def partners(self, position: int) -> Iterable[int]:
        each = self._at(position)
        meshes = range(len(self.devices)) if each is None else [each.mesh]
        return {device.process_index for mesh in meshes for device in self.devices[mesh]}

    def _at(self, position: int) -> IssuedInstruction | None:
        return self.issued[position] if 0 <= position < len(self.issued) else None


@dataclass(frozen=True, eq=False)
class WholeView:
    """A step that is one program over all devices."""

    meshes: Iterable[Mesh]

    def place(self, position: int) -> str:
        return "placing arguments" if position < 0 else "the program of all devices"

    def reader(self, position: int) -> str:
        return self.place(position)

    def buffers(self, position: int) -> str:
        return "arguments"

    def partners(self, position: int) -> Iterable[int]:
        return {device.process_index for mesh in self.meshes for device in mesh.devices.flat}


def _short(instruction: Instruction) -> str:
    match instruction:
        case Run():
            return f"run {instruction.task}"
        case Transfer():
            return f"transfer {_names(instruction.reads)} to mesh {instruction.target}"
        case Free():
            return f"free {_names(instruction.reads)}"
        case _:
            return f"start sums {_names(instruction.writes)}"


def _names(buffers: Sequence[Buffer]) -> str:
    more = len(buffers) - _MAX_NAMES
    return ", ".join(map(str, buffers[:_MAX_NAMES])) + (f" and {more} more" if more > 0 else "")
