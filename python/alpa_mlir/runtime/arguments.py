"""Puts the arguments of a step into its store: state on its owner's mesh, batches in slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from alpa_mlir.errors import ArgumentMismatchError
from alpa_mlir.ir.functions import BatchDim
from alpa_mlir.program.pipeline import PipelineArgument
from alpa_mlir.program.placement import devices_of
from alpa_mlir.runtime.placing import Mover, put
from alpa_mlir.runtime.shared_buffers import without_shared_buffers


@dataclass(frozen=True)
class Destination:
    """A slot of the store, for one microbatch or, if that is None, the whole argument.

    `is_own`: whether this process has devices of it.
    """

    slot: int
    sharding: NamedSharding
    microbatch: int | None
    is_own: bool = True


@dataclass
class _Puts:
    """Arrays to be put together, which costs a third of putting each alone."""

    arrays: list[Any] = field(default_factory=list[Any])
    destinations: list[Destination] = field(default_factory=list[Destination])

    def add(self, array: Any, destination: Destination) -> None:
        self.arrays.append(array)
        self.destinations.append(destination)

    def put(self, store: list[Any]) -> None:
        if not self.arrays:
            return
        arrays = put(self.arrays, [destination.sharding for destination in self.destinations])
        for destination, array in zip(self.destinations, arrays, strict=True):
            store[destination.slot] = array


def flat_arguments(args: tuple[Any, ...], tree: Any) -> list[Any]:
    """The leaves of the positional arguments.

    Raises:
      ArgumentMismatchError: they have another structure.
    """
    leaves, got = jax.tree.flatten(args)
    if got != tree:
        raise ArgumentMismatchError(
            f"expected arguments of the structure {tree}, got {got}; compile again for arguments "
            "of another structure"
        )
    return leaves


def leaf_names(in_tree: Any) -> list[str]:
    """Such as [0]['w']."""
    numbered = in_tree.unflatten(range(in_tree.num_leaves))
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(numbered)]


def check_type(
    name: str, got: tuple[tuple[int, ...], Any], expected: tuple[tuple[int, ...], Any]
) -> None:
    """Raises ArgumentMismatchError where shape or dtype of an argument is another."""
    if got != expected:
        kinds = [f"{dtype}{list(shape)}" for shape, dtype in (expected, got)]
        raise ArgumentMismatchError(
            f"expected {kinds[0]} for argument {name}, got {kinds[1]}; compile again for arguments "
            "of other types"
        )


class ArgumentPlacer:
    """A function of the flat arguments and the store, which it fills."""

    def __init__(
        self,
        arguments: Sequence[PipelineArgument],
        names: Sequence[str],
        destinations: Sequence[Sequence[Destination]],
        num_microbatches: int,
        mover: Mover,
    ) -> None:
        self._types = [(argument.aval.shape, argument.aval.dtype) for argument in arguments]
        self._names = names
        self._destinations = destinations
        self._num_microbatches = num_microbatches
        self._mover = mover
        self._batch_dims = [argument.batch_dim for argument in arguments]
        self._slicers: dict[tuple[int, Any], Callable[[Any], list[Any]]] = {}
        self._of_state = [
            destination.slot
            for argument, targets in zip(arguments, destinations, strict=True)
            for destination in targets
            if argument.owner is not None and destination.is_own
        ]
        self._is_donating = any(argument.is_donated for argument in arguments)

    def __call__(self, leaves: Sequence[Any], store: list[Any]) -> None:
        self._place(leaves, store)
        if self._is_donating:
            state = without_shared_buffers([store[slot] for slot in self._of_state])
            for slot, array in zip(self._of_state, state, strict=True):
                store[slot] = array

    def _place(self, leaves: Sequence[Any], store: list[Any]) -> None:
        puts = _Puts()
        for position, leaf in enumerate(leaves):
            array = self._checked(position, leaf)
            if isinstance(array, jax.Array) and self._mover.is_shared(array):
                array = self._brought(position, array)
            is_on_device = isinstance(array, jax.Array)
            slices: list[Any] | None = None
            for destination in self._destinations[position]:
                if not destination.is_own:
                    continue
                part = array
                if destination.microbatch is not None:
                    slices = slices or self._slices(position, array, destination.sharding)
                    part = slices[destination.microbatch]
                if is_on_device and part.sharding == destination.sharding:
                    store[destination.slot] = part
                    continue
                # The step still runs when the user writes the next batch to the same memory, which
                # XLA on CPU reads where it is.
                puts.add(part if is_on_device else np.array(part), destination)
        puts.put(store)

    def _brought(self, position: int, array: jax.Array) -> jax.Array:
        """An array of several processes as it is wanted, if that is once and whole, as state is; of
        others this process gets the whole, to cut it itself."""
        match self._destinations[position]:
            case []:
                return array
            case [Destination(sharding=wanted, microbatch=None)]:
                is_there = array.sharding == wanted
                return array if is_there else self._mover.move(array, wanted)
            case _:
                return self._mover.own_copy(array)

    def _checked(self, position: int, leaf: Any) -> Any:
        shape, dtype = self._types[position]
        if isinstance(leaf, jax.Array):
            array, got = leaf, leaf.dtype
        else:
            array = np.asarray(leaf)
            got = jax.dtypes.canonicalize_dtype(array.dtype)
            array = array.astype(got, copy=False)
        check_type(self._names[position], (array.shape, got), (shape, dtype))
        return array

    def _slices(self, position: int, array: Any, sharding: NamedSharding) -> list[Any]:
        if self._num_microbatches == 1:
            return [array]
        if not isinstance(array, jax.Array):
            return self._cut(position, array)
        key = (position, array.sharding)
        if key not in self._slicers:
            self._slicers[key] = self._slicer(position, array.sharding, sharding)
        return self._slicers[key](array)

    def _cut(self, position: int, array: Any) -> list[Any]:
        batch = self._batch_dims[position]
        assert batch is not None, "only batches are cut"
        return cut_examples(array, batch, self._num_microbatches)

    def _slicer(
        self, position: int, source: Any, target: NamedSharding
    ) -> Callable[[Any], list[Any]]:
        """Cuts an array where it lives; already as it is read, if it is read there."""
        is_there = isinstance(source, NamedSharding) and (devices_of(source) == devices_of(target))
        num_parts = self._num_microbatches

        def cut(array: Any) -> list[Any]:
            return self._cut(position, array)

        return jax.jit(cut, out_shardings=[target] * num_parts) if is_there else jax.jit(cut)


def cut_examples(array: Any, batch: BatchDim, num_parts: int) -> list[Any]:
    """The examples of each microbatch: element k of the dim is of example (k // minor) % size."""
    shape, dim = array.shape, batch.dim
    period = batch.size * batch.minor
    # The dim as (chunks, examples of a chunk).
    chunks = array.reshape(*shape[:dim], shape[dim] // period, period, *shape[dim + 1 :])
    size = period // num_parts
    before = (slice(None),) * (dim + 1)
    part = (*shape[:dim], shape[dim] // num_parts, *shape[dim + 1 :])
    return [
        chunks[(*before, slice(k * size, (k + 1) * size))].reshape(part) for k in range(num_parts)
    ]
