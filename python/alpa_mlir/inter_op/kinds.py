"""Which layers do the same: deep models repeat one block, and what is known of it holds for all.

A layer is told by the functions it becomes when the step is cut at every layer (their ops, types
and attributes), and by how these are wired: to the layer before, the layer behind, or a certain
value from further away. Ranges of layers of equal kinds are therefore equal programs.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from alpa_mlir._native import FunctionSummary
from alpa_mlir.inter_op.layers import SplitStep
from alpa_mlir.ir.functions import is_of_stage, name_of, phase_of, round_of, stage_of

Kinds = tuple[int, ...]

# What each further layer of a run adds is told by two runs of so many: shardings may repeat every
# second layer (column, then row).
_LONG_RUN, _SHORT_RUN = 4, 2


def layer_kinds(split: SplitStep) -> Kinds:
    """A number for every layer of a step that is cut at each of them, equal for those alike."""
    wiring = _Wiring(split)
    described: dict[int, list[Hashable]] = {layer: [] for layer in range(split.num_stages)}
    for function, key in zip(split.module.functions(), split.module.function_keys(), strict=True):
        if is_of_stage(function) and phase_of(function) != "prologue":
            described[stage_of(function)].append((key, wiring.of(function)))
    numbers: dict[Hashable, int] = {}
    return tuple(numbers.setdefault(tuple(d), len(numbers)) for d in described.values())


class _Wiring:
    """Where values of functions come from and go to, seen from the layer they are in."""

    def __init__(self, split: SplitStep) -> None:
        self._readers: dict[str, set[int]] = {}
        self._sources: dict[str, tuple[int, tuple[str, int, int]]] = {}
        self._own: dict[int, dict[str, int]] = {}
        functions = split.stage_functions()
        for function in functions:
            for argument in function.arguments:
                self._readers.setdefault(name_of(argument), set()).add(stage_of(function))
        for function in functions:
            layer, task = stage_of(function), (phase_of(function), round_of(function))
            near = [r for r in map(name_of, function.results) if self._is_near(r, layer)]
            for result in map(name_of, function.results):
                place = near.index(result) if result in near else -1
                self._sources[result] = layer, (*task, place)

    def of(self, function: FunctionSummary) -> Hashable:
        layer = stage_of(function)
        arguments = tuple(self._source(name_of(each), layer) for each in function.arguments)
        results = tuple(
            (self._readings(name_of(each), layer), "alpa.result" in each.attributes)
            for each in function.results
        )
        return arguments, results

    def _is_near(self, name: str, layer: int) -> bool:
        return all(abs(reader - layer) <= 1 for reader in self._readers.get(name, ()))

    def _source(self, name: str, layer: int) -> Hashable:
        if name in self._sources:
            source, place = self._sources[name]
            if self._is_near(name, source):
                return source - layer, place
            # A value of one reader may have its like in every layer; one of several is shared.
            return (source, place[:2]) if self._readers[name] == {layer} else name
        if self._readers[name] != {layer}:  # shared, or the count of microbatches
            return name
        # Its own: known by the order in which the layer reads such values first.
        own = self._own.setdefault(layer, {})
        return own.setdefault(name, len(own))

    def _readings(self, name: str, layer: int) -> Hashable:
        readers = self._readers.get(name, set[int]())
        if self._is_near(name, layer):
            return tuple(sorted(reader - layer for reader in readers))
        return tuple(readers) if len(readers) == 1 else name


# --- Ranges of layers ---


def longest_run(kinds: Kinds, kind: int) -> range:
    """The places of the longest run of a kind; empty where there is none."""
    runs = [range(0)]
    for place, found in enumerate(kinds):
        if found == kind:
            start = runs[-1].start if runs[-1].stop == place else place
            runs.append(range(start, place + 1))
    return max(runs, key=len)


@dataclass(frozen=True)
class Parts:
    """What a range of layers costs, from what shorter ones cost.

    Attributes:
      weights: kinds of a shorter range, and how often it counts.
    """

    weights: tuple[tuple[Kinds, float], ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is the range itself."""
        return len(self.weights) == 1

    @property
    def shapes(self) -> frozenset[Kinds]:
        """The shorter ranges: the same for ranges that differ in how often layers repeat."""
        return frozenset(kinds for kinds, _ in self.weights)


@cache
def parts_of(kinds: Kinds) -> Parts:
    """A range as ranges in which layers repeat no more than it takes to know the rest.

    X I...I Y costs X II, and II Y, less II, and half of what IIII costs more than II for each
    further I: the ends as they are at a run, the middle as it goes on.
    """
    runs = [(kind, len(list(group))) for kind, group in groupby(kinds)]
    weights: dict[Kinds, float] = {}

    def add(part: Sequence[int], weight: float) -> None:
        weights[tuple(part)] = weights.get(tuple(part), 0.0) + weight

    piece: list[int] = []
    for kind, length in runs:
        run = [kind] * min(length, _SHORT_RUN)
        piece += run
        if length > _SHORT_RUN:
            add(piece, 1.0)
            add(run, -1.0)
            long = min(length, _LONG_RUN)
            rest = (length - _SHORT_RUN) / (long - _SHORT_RUN)
            add([kind] * long, rest)
            add(run, -rest)
            piece = run
    add(piece, 1.0)
    return Parts(tuple((part, weight) for part, weight in weights.items() if weight))
