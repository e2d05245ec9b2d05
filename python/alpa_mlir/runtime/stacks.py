"""Stacked state at the ends of a step: cut into the rows that stages keep, joined for the user.

Between steps a stack is one `jax.Array` where stages have as many rows and devices each: over the
union of their devices, with a first axis for the stages. Otherwise it is a `StackedArray`. Both are
made of what lies on each stage's own devices: no row goes to another stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from alpa_mlir.frontend.stacks import Leaf, Part, Stacks, leaves_of_parts
from alpa_mlir.program.annotated import AnnotatedProgram, leaves_of
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.program.placement import devices_of
from alpa_mlir.runtime.arguments import check_type, flat_arguments, leaf_names
from alpa_mlir.runtime.initialize import Rows, StateLayout
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.stacked_array import StackedArray

_STAGES = "stage"


@dataclass(frozen=True)
class Run:
    """Rows that follow one another on the same devices.

    Attributes:
      shardings: of the rows, each as its stage has it.
    """

    first: int
    shardings: tuple[NamedSharding, ...]

    @property
    def end(self) -> int:
        return self.first + len(self.shardings)

    @property
    def devices(self) -> tuple[Any, ...]:
        return devices_of(self.shardings[0])


@dataclass(frozen=True)
class StackLayout:
    """How the rows of a stack lie.

    Attributes:
      sizes: of the rows, along `dim`.
      union: of the stack as one array; None where there is no such array.
      stacked: by run, of its rows as a part of that array.
    """

    dim: int
    sizes: tuple[int, ...]
    runs: tuple[Run, ...]
    union: NamedSharding | None
    stacked: tuple[NamedSharding, ...]

    @property
    def sharding(self) -> NamedSharding:
        """Of one array in place of the rows: where there is no union, on the first rows' mesh."""
        return self.union or self.runs[0].shardings[0]

    @staticmethod
    def of(dim: int, sizes: Sequence[int], shardings: Sequence[NamedSharding]) -> StackLayout:
        runs: list[Run] = []
        for row, sharding in enumerate(shardings):
            if runs and runs[-1].devices == devices_of(sharding):
                runs[-1] = Run(runs[-1].first, (*runs[-1].shardings, sharding))
            else:
                runs.append(Run(row, (sharding,)))
        union, stacked = _union(dim, [sum(sizes[run.first : run.end]) for run in runs], runs)
        return StackLayout(dim, tuple(sizes), tuple(runs), union, stacked)

    def sizes_of(self, run: Run) -> tuple[int, ...]:
        return self.sizes[run.first : run.end]


def _union(
    dim: int, sizes: Sequence[int], runs: Sequence[Run]
) -> tuple[NamedSharding | None, tuple[NamedSharding, ...]]:
    """Of all runs, and of each: as the first lies, on grids like its own."""
    first = runs[0].shardings[0]
    mesh, spec = _mesh(first), _spec(first, dim + 1)
    grid, names = mesh.devices.shape, mesh.axis_names
    devices = [np.array(run.devices, dtype=object) for run in runs]
    every = np.concatenate(devices)
    is_even = len({*sizes}) == len({len(each) for each in devices}) == 1
    if not is_even or len({*every}) < len(every) or _STAGES in names:
        return None, ()
    before, after = spec[:dim], spec[dim + 1 :]
    stacked = tuple(
        NamedSharding(Mesh(each.reshape(grid), names), PartitionSpec(*before, None, *after))
        for each in devices
    )
    if len(runs) == 1:
        return stacked[0], stacked
    mesh = Mesh(every.reshape(len(runs), *grid), (_STAGES, *names))
    return NamedSharding(mesh, PartitionSpec(*before, _STAGES, *after)), stacked


def _mesh(sharding: NamedSharding) -> Mesh:
    mesh = sharding.mesh
    assert isinstance(mesh, Mesh)
    return mesh


def _spec(sharding: NamedSharding, rank: int) -> tuple[Any, ...]:
    """At least as long as the rank."""
    spec = tuple(sharding.spec)
    return spec + (None,) * (rank - len(spec))


@dataclass
class StackBoundary:
    """Cuts the arguments of a step, and joins its results.

    Args:
      layouts: by number of a leaf of the arguments, of those that are stacks.
      donated: numbers of leaves whose memory the results may take.
    """

    stacks: Stacks
    layouts: dict[int, StackLayout]
    donated: frozenset[int]
    _programs: dict[Any, Any] = field(default_factory=dict[Any, Any])

    def __post_init__(self) -> None:
        self.arguments = leaves_of_parts(self.stacks.arguments)
        self.results = leaves_of_parts(self.stacks.results)
        self._names = leaf_names(self.stacks.in_tree)

    def cut(self, args: tuple[Any, ...]) -> list[Any]:
        """The flat arguments of the step in rows. Donated stacks are deleted, each after its last
        use: with its rows there are two of it, and never two of the state.

        Raises:
          ArgumentMismatchError: arguments of another structure or type; nothing is deleted.
        """
        leaves = flat_arguments(args, self.stacks.in_tree)
        for name, leaf, aval in zip(self._names, leaves, self.stacks.avals, strict=True):
            check_type(name, _type(leaf), (aval.shape, aval.dtype))
        uses = Counter(map(id, leaves))
        parts: list[Any] = []
        for number, (whole, leaf) in enumerate(zip(leaves, self.arguments, strict=True)):
            uses[id(whole)] -= 1
            if leaf.dim is None:
                parts.append(whole)
                continue
            parts += self._rows(number, whole, leaf)
            is_union = isinstance(whole, jax.Array) and whole.sharding == self.layouts[number].union
            if number in self.donated and is_union and not uses[id(whole)]:
                whole.delete()
        return parts

    def of_leaves(self, owned: Sequence[NamedSharding | None]) -> tuple[Any, ...]:
        """The arguments with a sharding at every leaf, of what the flat ones have."""
        shardings = [
            owned[leaf.first] if leaf.dim is None else self.layouts[number].sharding
            for number, leaf in enumerate(self.arguments)
        ]
        return self.stacks.in_tree.unflatten(shardings)

    def state_layout(self, position: int, kept: Sequence[NamedSharding]) -> StateLayout:
        """Of a positional argument, of where the flat ones are kept."""
        numbers = leaves_of(self.stacks.in_tree, position)
        shardings: list[NamedSharding] = []
        rows: dict[int, Rows] = {}
        for at, number in enumerate(numbers):
            leaf = self.arguments[number]
            if leaf.dim is None:
                shardings.append(kept[leaf.first])
                continue
            shardings.append(self.layouts[number].sharding)
            parts = self.stacks.arguments[leaf.first : leaf.end]
            join = partial(self.joined, dim=leaf.dim)
            rows[at] = Rows(parts, kept[leaf.first : leaf.end], join)
        avals = [self.stacks.avals[number] for number in numbers]
        return StateLayout(self.stacks.in_tree.children()[position], avals, shardings, rows)

    def join(self, results: Sequence[Any]) -> Any:
        """The user's result, of the flat ones."""
        leaves = [
            results[leaf.first]
            if leaf.dim is None
            else self.joined(results[leaf.first : leaf.end], leaf.dim)
            for leaf in self.results
        ]
        return self.stacks.out_tree.unflatten(leaves)

    def joined(self, rows: Sequence[jax.Array], dim: int) -> jax.Array | StackedArray:
        """Rows as one leaf."""
        layout = self._layout_of(rows, dim)
        if layout.union is None:
            return StackedArray(rows, dim)
        stacks = [
            self._stack(rows[run.first : run.end], dim, sharding)
            for run, sharding in zip(layout.runs, layout.stacked, strict=True)
        ]
        if len(stacks) == 1:
            return stacks[0]
        shape = list(stacks[0].shape)
        shape[dim] = sum(layout.sizes)
        shards = [shard.data for stack in stacks for shard in stack.addressable_shards]
        return jax.make_array_from_single_device_arrays(tuple(shape), layout.union, shards)

    def _layout_of(self, rows: Sequence[jax.Array], dim: int) -> StackLayout:
        shardings = tuple(row.sharding for row in rows)
        sizes = tuple(row.shape[dim] for row in rows)
        key = ("layout", dim, sizes, shardings)
        if key not in self._programs:
            self._programs[key] = StackLayout.of(dim, sizes, shardings)  # type: ignore[arg-type]
        return self._programs[key]

    def _rows(self, number: int, whole: Any, leaf: Leaf) -> list[Any]:
        parts = self.stacks.arguments[leaf.first : leaf.end]
        layout = self.layouts[number]
        if isinstance(whole, StackedArray):
            sizes = tuple(row.shape[whole.dim] for row in whole.rows)
            if (whole.dim, sizes) == (layout.dim, layout.sizes):
                return list(whole.rows)
            whole = np.asarray(whole)
        if not isinstance(whole, jax.Array):
            return [part.cut(whole) for part in parts]
        if whole.sharding != layout.union:
            return self._slices(whole, parts)
        rows: list[Any] = []
        for run, stack in zip(layout.runs, _stacks(whole, layout), strict=True):
            rows += self._slices(stack, _parts_from_zero(layout, run), run.shardings)
        return rows

    def _slices(
        self,
        array: jax.Array,
        parts: Sequence[Part],
        targets: tuple[NamedSharding, ...] | None = None,
    ) -> list[jax.Array]:
        """Rows of an array where it lies, or as they are to lie there."""
        bounds = tuple((part.dim, part.begin, part.end) for part in parts)
        key = ("cut", array.shape, array.dtype, array.sharding, bounds, targets)
        if key not in self._programs:
            self._programs[key] = jax.jit(
                lambda whole: tuple(part.cut(whole) for part in parts), out_shardings=targets
            )
        return self._programs[key](array)

    def _stack(self, rows: Sequence[jax.Array], dim: int, sharding: NamedSharding) -> jax.Array:
        key = (
            "join",
            dim,
            tuple((row.shape, row.dtype) for row in rows),
            tuple(row.sharding for row in rows),
            sharding,
        )
        if key not in self._programs:
            self._programs[key] = jax.jit(
                lambda *rows: jnp.concatenate(rows, dim), out_shardings=sharding
            )
        return self._programs[key](*rows)


def _type(leaf: Any) -> tuple[tuple[int, ...], Any]:
    if isinstance(leaf, jax.Array | StackedArray):
        return leaf.shape, leaf.dtype
    return np.shape(leaf), jax.dtypes.canonicalize_dtype(np.result_type(leaf))


def _stacks(whole: jax.Array, layout: StackLayout) -> list[jax.Array]:
    """What each run's mesh has of an array over their union, without copies."""
    if len(layout.runs) == 1:
        return [whole]
    there = {shard.device: shard.data for shard in whole.addressable_shards}
    stacks: list[jax.Array] = []
    for run, sharding in zip(layout.runs, layout.stacked, strict=True):
        shape = list(whole.shape)
        shape[layout.dim] = sum(layout.sizes_of(run))
        shards = [there[device] for device in devices_of(sharding)]
        stacks.append(jax.make_array_from_single_device_arrays(tuple(shape), sharding, shards))
    return stacks


def _parts_from_zero(layout: StackLayout, run: Run) -> list[Part]:
    parts: list[Part] = []
    begin = 0
    for size in layout.sizes_of(run):
        parts.append(Part(0, layout.dim, begin, begin + size))
        begin += size
    return parts


def stack_boundary(
    program: PipelineProgram[AnnotatedProgram], layout: Layout
) -> StackBoundary | None:
    """None of a step that is not in rows."""
    stacks = program.stacks
    if stacks is None:
        return None
    layouts: dict[int, StackLayout] = {}
    donated: set[int] = set()
    for number, leaf in enumerate(leaves_of_parts(stacks.arguments)):
        rows = program.arguments[leaf.first : leaf.end]
        if leaf.dim is None:
            continue
        sizes = [row.aval.shape[leaf.dim] for row in rows]
        shardings = [layout.kept(row) for row in rows]
        layouts[number] = StackLayout.of(leaf.dim, sizes, shardings)
        if all(row.is_donated for row in rows):
            donated.add(number)
    return StackBoundary(stacks, layouts, frozenset(donated))
