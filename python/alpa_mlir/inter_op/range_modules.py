"""Ranges of layers as stages of their own, those of equal kinds once.

Each is cut out of the whole step, which takes a while for deep models: several threads do it, each
on a copy of its own, since an MLIR context serves one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue

from alpa_mlir._native import Module
from alpa_mlir.inter_op.kinds import Kinds
from alpa_mlir.inter_op.layers import LayeredStep, StageModule

# Another copy of the step takes as long as some ranges, and memory.
_MIN_RANGES_FOR_THREADS = 8
_MOST_THREADS = 4


@dataclass(frozen=True)
class RangeShape:
    """What tells ranges apart: of those of one shape, all do the same.

    Attributes:
      kinds: of its layers, in order.
      num_in_flight: microbatches whose activations count.
    """

    kinds: Kinds
    is_rematerialized: bool
    num_in_flight: int


class RangeModules:
    """The ranges of one step in layers.

    Args:
      kinds: of the layers of the step.
      num_threads: at most, where many ranges are wanted at once.
    """

    def __init__(self, layered: LayeredStep, kinds: Kinds, num_threads: int) -> None:
        self._steps = [layered]
        self._kinds = kinds
        self._num_threads = min(max(1, num_threads), _MOST_THREADS)
        self._places: dict[Kinds, int] = {}
        self._known: dict[RangeShape, StageModule] = {}

    def get(self, shape: RangeShape) -> StageModule:
        """The first range of the shape."""
        self.prepare([shape])
        return self._known[shape]

    def prepare(self, shapes: Iterable[RangeShape]) -> None:
        """Cuts out those that are not there yet."""
        missing = [shape for shape in dict.fromkeys(shapes) if shape not in self._known]
        if len(missing) < (_MIN_RANGES_FOR_THREADS if len(self._steps) == 1 else 2):
            self._known.update((shape, self._cut(self._steps[0], shape)) for shape in missing)
            return
        while len(self._steps) < self._num_threads:
            self._steps.append(_copy(self._steps[0]))
        idle: SimpleQueue[LayeredStep] = SimpleQueue()
        for step in self._steps:
            idle.put(step)

        def cut(shape: RangeShape) -> StageModule:
            step = idle.get()
            try:
                module = self._cut(step, shape)
                _ = module.text, module.key  # of the same context
                return module
            finally:
                idle.put(step)

        with ThreadPoolExecutor(len(self._steps)) as threads:
            try:
                self._known.update(zip(missing, threads.map(cut, missing), strict=True))
            except BaseException:  # Ctrl-C, too
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _cut(self, step: LayeredStep, shape: RangeShape) -> StageModule:
        first = self._place(shape.kinds)
        return step.range(
            first, first + len(shape.kinds), shape.is_rematerialized, shape.num_in_flight
        )

    def _place(self, kinds: Kinds) -> int:
        """The first layer of the first range of these kinds."""
        if kinds not in self._places:
            self._places[kinds] = next(
                first
                for first in range(len(self._kinds))
                if self._kinds[first : first + len(kinds)] == kinds
            )
        return self._places[kinds]


def _copy(step: LayeredStep) -> LayeredStep:
    """In a context of its own; without locations, which no price depends on."""
    return replace(step, module=Module.parse(step.module.text()))
