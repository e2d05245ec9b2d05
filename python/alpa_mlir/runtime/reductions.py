"""Where a step reduces the sums over microbatches that tasks leave in parts.

Whoever is the first to read such a sum whole, an update or a transfer to one, has it reduced, and
that replaces the sum: clipping by global norm reads gradients in two rounds of the update.
"""

from __future__ import annotations

from jax.sharding import NamedSharding

from alpa_mlir.ir.spec import reduced
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.schedule.instructions import Run, Transfer
from alpa_mlir.schedule.values import Buffer


class Reductions:
    """How buffers lie while the instructions of a step are walked in the order of issue."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._reduced: dict[tuple[int, Buffer], NamedSharding] = {}

    def sharding(self, mesh: int, buffer: Buffer) -> NamedSharding:
        """How the buffer lies now."""
        return self._reduced.get((mesh, buffer)) or self._layout.sharding(mesh, buffer)

    def reduce(
        self, mesh: int, instruction: Run | Transfer
    ) -> tuple[list[NamedSharding], list[NamedSharding]]:
        """How what the instruction reads lies before, and once sums that it wants whole are."""
        before = [self.sharding(mesh, buffer) for buffer in instruction.reads]
        wanted = (
            self._layout.in_shardings(instruction.task.kind)
            if isinstance(instruction, Run)
            else [reduced(sharding) for sharding in before]
        )
        after = [
            target if source.spec.unreduced else source
            for source, target in zip(before, wanted, strict=True)
        ]
        for buffer, source, target in zip(instruction.reads, before, after, strict=True):
            if source != target:
                self._reduced[mesh, buffer] = target
        return before, after
