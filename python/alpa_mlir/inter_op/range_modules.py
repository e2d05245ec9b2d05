"""Ranges of layers as stages of their own, those of equal kinds once."""

from __future__ import annotations

from dataclasses import dataclass

from alpa_mlir.inter_op.kinds import Kinds
from alpa_mlir.inter_op.layers import LayeredStep, StageModule


@dataclass(frozen=True)
class RangeShape:
    """What tells ranges apart: of those of one shape, all do the same.

    Attributes:
      kinds: of its layers, in order.
    """

    kinds: Kinds
    is_rematerialized: bool


class RangeModules:
    """The ranges of one step in layers, each cut out of the whole step when it is first wanted.

    Args:
      kinds: of the layers of the step.
    """

    def __init__(self, layered: LayeredStep, kinds: Kinds) -> None:
        self._layered = layered
        self._kinds = kinds
        self._places: dict[Kinds, int] = {}
        self._known: dict[RangeShape, StageModule] = {}

    def get(self, shape: RangeShape) -> StageModule:
        """The first range of the shape."""
        if shape not in self._known:
            first = self._place(shape.kinds)
            end = first + len(shape.kinds)
            self._known[shape] = self._layered.range(first, end, shape.is_rematerialized)
        return self._known[shape]

    def _place(self, kinds: Kinds) -> int:
        """The first layer of the first range of these kinds."""
        if kinds not in self._places:
            self._places[kinds] = next(
                first
                for first in range(len(self._kinds))
                if self._kinds[first : first + len(kinds)] == kinds
            )
        return self._places[kinds]
