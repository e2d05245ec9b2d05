"""How an array lies on devices known by number, which need not exist: plans are for any cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.ir.spec import Spec, named_sharding, spec_of

Interval = tuple[int, int]
Tile = tuple[Interval, ...]


@dataclass(frozen=True)
class Placement:
    """What JAX's `NamedSharding` is, for devices by number.

    Attributes:
      mesh: the devices as a grid.
      devices: their numbers in the order of the mesh.
      spec: of every dim the axes that split it.
    """

    mesh: LogicalMesh
    devices: tuple[int, ...]
    spec: Spec

    @staticmethod
    def of(sharding: NamedSharding, rank: int) -> Placement:
        """Numbers are the ids of the devices."""
        mesh: Any = sharding.mesh
        grid = LogicalMesh(tuple(mesh.axis_names), tuple(mesh.shape.values()))
        return Placement(
            grid, tuple(device.id for device in devices_of(sharding)), spec_of(sharding, rank)
        )

    def sharding(self, devices: Mapping[int, Any]) -> NamedSharding:
        """JAX's, on the devices of these numbers."""
        ordered = [devices[number] for number in self.devices]
        return named_sharding(self.mesh.over(ordered), self.spec)

    def tiles(self, shape: tuple[int, ...]) -> dict[int, Tile]:
        """Of every device what it holds, in the order of the mesh."""
        sizes = dict(zip(self.mesh.axis_names, self.mesh.axis_sizes, strict=True))
        tiles: dict[int, Tile] = {}
        for device, coordinates in zip(self.devices, np.ndindex(self.mesh.axis_sizes), strict=True):
            at = dict(zip(self.mesh.axis_names, coordinates, strict=True))
            intervals: list[Interval] = []
            for size, axes in zip(shape, self.spec, strict=True):
                number, parts = 0, 1
                for axis in axes:
                    number, parts = number * sizes[axis] + at[axis], parts * sizes[axis]
                length = size // parts
                intervals.append((number * length, (number + 1) * length))
            tiles[device] = tuple(intervals)
        return tiles

    @property
    def reduced(self) -> Placement:
        """Of a sum in parts once it is reduced and scattered nowhere; others stay as they are."""
        return replace(self, spec=tuple(self.spec))

    @cached_property
    def in_primes(self) -> Placement:
        """The same, on a mesh with an axis for every prime factor of an axis, major first."""
        names: list[str] = []
        sizes: list[int] = []
        of_axis: dict[str, tuple[str, ...]] = {}
        for axis, size in zip(self.mesh.axis_names, self.mesh.axis_sizes, strict=True):
            factors = list(prime_factors(size))
            parts = [f"p{len(names) + number}" for number in range(len(factors))]
            of_axis[axis] = tuple(parts)
            names += parts
            sizes += factors
        spec = tuple(tuple(part for axis in axes for part in of_axis[axis]) for axes in self.spec)
        return Placement(LogicalMesh(tuple(names), tuple(sizes)), self.devices, spec)

    def cut(self, grid: tuple[int, ...]) -> Placement:
        """A placement in this grid of tiles on the same devices that leaves in place what it can.

        Each dim keeps its major axes as far as they fit; it takes what it lacks from axes that
        split nothing first, since slices of what is replicated need no communication.
        """
        primes = self.in_primes
        sizes = dict(zip(primes.mesh.axis_names, primes.mesh.axis_sizes, strict=True))
        used = [list(axes) for axes in primes.spec]
        kept = [_fitting(axes, parts, sizes) for axes, parts in zip(used, grid, strict=True)]
        missing = [
            parts // prod(sizes[axis] for axis in axes)
            for axes, parts in zip(kept, grid, strict=True)
        ]
        if kept == used and set(missing) <= {1}:
            return self
        taken = {axis for axes in kept for axis in axes}
        splitting = {axis for axes in used for axis in axes}
        names = primes.mesh.axis_names
        free = sorted(set(names) - taken, key=lambda a: (a in splitting, names.index(a)))
        for axes, parts in zip(kept, missing, strict=True):
            for factor in prime_factors(parts):
                axis = next(a for a in free if sizes[a] == factor)
                free.remove(axis)
                axes.append(axis)
        return Placement(primes.mesh, self.devices, tuple(map(tuple, kept)))


def prime_factors(number: int) -> Iterator[int]:
    """Ascending, as often as they divide it."""
    divisor = 2
    while number > 1:
        if number % divisor == 0:
            yield divisor
            number //= divisor
        else:
            divisor += 1


def devices_of(sharding: NamedSharding) -> tuple[Any, ...]:
    """In the order of its mesh."""
    mesh = sharding.mesh
    assert isinstance(mesh, Mesh)
    return tuple(mesh.devices.flat)


def sharding_of_words(sharding: NamedSharding, rank: int) -> NamedSharding:
    """Of the words of PRNG keys that lie so: those of a key are together."""
    spec = tuple(sharding.spec)
    return NamedSharding(sharding.mesh, PartitionSpec(*spec, *[None] * (rank + 1 - len(spec))))


def absent(shape: tuple[int, ...], dtype: Any, sharding: NamedSharding) -> jax.Array:
    """An array that lies on devices of other processes, as each process has one."""
    return jax.make_array_from_single_device_arrays(shape, sharding, [], dtype=dtype)


def _fitting(axes: list[str], parts: int, sizes: Mapping[str, int]) -> list[str]:
    """The longest major part of `axes` that splits in a divisor of `parts`."""
    fitting: list[str] = []
    for axis in axes:
        parts, rest = divmod(parts, sizes[axis])
        if rest:
            break
        fitting.append(axis)
    return fitting
