"""What of a pipeline this process does: its own meshes' work, and transfers to and from them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from alpa_mlir.runtime.layout import Layout
from alpa_mlir.schedule.instructions import Instruction, Transfer


class Share:
    """The meshes and instructions of this process.

    Attributes:
      is_whole: whether it does everything, since it is the only process.
    """

    def __init__(self, layout: Layout, num_meshes: int) -> None:
        self.process = jax.process_index()
        self.is_whole = jax.process_count() == 1
        self._own = [
            any(device.process_index == self.process for device in layout.devices(mesh))
            for mesh in range(num_meshes)
        ]

    def has(self, mesh: int) -> bool:
        """Whether a device of the mesh is this process'."""
        return self._own[mesh]

    def takes_part(self, mesh: int, instruction: Instruction) -> bool:
        """Whether something of the mesh's instruction is to be done here."""
        is_received = isinstance(instruction, Transfer) and self.has(instruction.target)
        return self.has(mesh) or is_received

    @cached_property
    def everywhere(self) -> NamedSharding:
        """Whole, on one device of every process."""
        return everywhere()


def everywhere() -> NamedSharding:
    """Whole, on the first device of every process."""
    first: dict[int, Any] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device)
    return NamedSharding(Mesh(np.array(list(first.values())), ("process",)), PartitionSpec())
