"""How an array goes from its sharding on one mesh to a sharding on another, never by the host.

`jax.device_put` moves tiles as they are: it is direct and asynchronous where every tile that is
wanted is a tile that is there. Otherwise a route cuts the array alike on both meshes: it is
resharded on the sender, put, and resharded on the receiver, where either reshard may be none. Last,
overlaps of tiles can be cut out and put one by one, which moves the fewest bytes and takes the
driver's time for each.
"""

# JAX declares only part of its types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import gcd, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from alpa_mlir.cluster.spec import named_sharding

Interval = tuple[int, int]
Tile = tuple[Interval, ...]

# What a link carries while the driver cuts out, puts and joins one piece: about 100 us at 10 GB/s.
_BYTES_PER_PIECE = 1 << 20


@dataclass(frozen=True)
class Route:
    """The stations between the sharding an array has and the one that is wanted.

    Attributes:
      before: the sharding in which the array is put, on the sender's mesh.
      after: the sharding in which it arrives.
      is_in_pieces: overlaps of tiles are put instead; `before` is the array's own sharding and
        `after` the one that is wanted.
      bytes: what all devices receive from other devices, reshards included.
    """

    before: NamedSharding
    after: NamedSharding
    is_in_pieces: bool
    bytes: int


def find_route(
    shape: tuple[int, ...], dtype: Any, source: NamedSharding, target: NamedSharding
) -> Route:
    """The route that moves the fewest bytes; of equals the one with the fewest reshards."""
    itemsize = dtype.itemsize
    routes = _reshard_routes(shape, itemsize, source, target)
    best = min(routes, key=lambda r: (r.bytes, (r.before != source) + (r.after != target)))
    if is_direct(best, source, target) or jnp.issubdtype(dtype, jax.dtypes.extended):
        return best
    pieces = find_pieces(shape, source, target)
    num_elements = sum(_size(piece.overlap) for piece in pieces if piece.source != piece.target)
    route = Route(source, target, True, num_elements * itemsize)
    is_better = route.bytes + _BYTES_PER_PIECE * len(pieces) < best.bytes
    return route if is_better else best


def is_direct(route: Route, source: NamedSharding, target: NamedSharding) -> bool:
    return not route.is_in_pieces and route.before == source and route.after == target


def _reshard_routes(
    shape: tuple[int, ...], itemsize: int, source: NamedSharding, target: NamedSharding
) -> Iterator[Route]:
    """One for every grid of tiles that both meshes can hold."""
    if devices_of(source) == devices_of(target):
        yield Route(target, target, False, itemsize * _moved(shape, source, target))
        return
    if has_tiles(shape, source, target):
        yield Route(source, target, False, itemsize * _moved(shape, source, target))
    num_tiles = gcd(len(devices_of(source)), len(devices_of(target)))
    for grid in _grids(shape, num_tiles):
        before, after = _cut(source, grid), _cut(target, grid)
        moved = (
            _moved(shape, source, before)
            + _moved(shape, before, after)
            + _moved(shape, after, target)
        )
        yield Route(before, after, False, itemsize * moved)


def has_tiles(shape: tuple[int, ...], source: NamedSharding, target: NamedSharding) -> bool:
    """Whether every tile of `target` is one of `source`."""
    return set(tiles(shape, target).values()) <= set(tiles(shape, source).values())


def tiles(shape: tuple[int, ...], sharding: NamedSharding) -> dict[Any, Tile]:
    """The tile of every device, in the order of the mesh."""
    indices = sharding.devices_indices_map(shape)
    return {
        device: tuple(
            (part.start or 0, size if part.stop is None else part.stop)
            for part, size in zip(indices[device], shape, strict=True)
        )
        for device in devices_of(sharding)
    }


def devices_of(sharding: NamedSharding) -> tuple[Any, ...]:
    return tuple(sharding.mesh.devices.flat)  # pyright: ignore[reportOptionalMemberAccess]


def _moved(shape: tuple[int, ...], source: NamedSharding, target: NamedSharding) -> int:
    """Elements that devices need for their tiles of `target` and do not have."""
    there = tiles(shape, source)
    return sum(
        _size(tile) - (_size(_overlap(tile, there[device])) if device in there else 0)
        for device, tile in tiles(shape, target).items()
    )


def _overlap(a: Tile, b: Tile) -> Tile:
    pairs = zip(a, b, strict=True)
    return tuple((max(p[0], q[0]), max(p[0], q[0], min(p[1], q[1]))) for p, q in pairs)


def _size(tile: Tile) -> int:
    return prod(stop - start for start, stop in tile)


def _grids(shape: tuple[int, ...], num_tiles: int) -> Iterator[tuple[int, ...]]:
    """All ways to cut the dims evenly whose number of tiles divides `num_tiles`."""
    if not shape:
        yield ()
        return
    for parts in range(1, num_tiles + 1):
        if num_tiles % parts == 0 and shape[0] % parts == 0:
            for rest in _grids(shape[1:], num_tiles // parts):
                yield (parts, *rest)


@cache
def prime_mesh(mesh: Mesh) -> Mesh:
    """The same devices, with an axis for every prime factor of an axis, major first."""
    sizes = [factor for size in mesh.shape.values() for factor in _prime_factors(size)]
    names = [f"p{number}" for number in range(len(sizes))]
    return Mesh(np.reshape(mesh.devices, sizes), tuple(names))


def _prime_factors(number: int) -> Iterator[int]:
    divisor = 2
    while number > 1:
        if number % divisor == 0:
            yield divisor
            number //= divisor
        else:
            divisor += 1


def _cut(sharding: NamedSharding, grid: tuple[int, ...]) -> NamedSharding:
    """A sharding of this grid on the same devices that leaves in place what it can.

    Each dim keeps its major axes as far as they fit; it takes what it lacks from axes that split
    nothing first, since slices of what is replicated need no communication.
    """
    primes = prime_mesh(sharding.mesh)
    used = prime_axes(sharding, len(grid))
    kept = [_fitting(axes, parts, primes) for axes, parts in zip(used, grid, strict=True)]
    if kept == used and all(
        prod(primes.shape[axis] for axis in axes) == parts
        for axes, parts in zip(kept, grid, strict=True)
    ):
        return sharding
    taken = {axis for axes in kept for axis in axes}
    splitting = {axis for axes in used for axis in axes}
    free = sorted(
        set(primes.axis_names) - taken, key=lambda a: (a in splitting, primes.axis_names.index(a))
    )
    for axes, parts in zip(kept, grid, strict=True):
        lacking = parts // prod(primes.shape[axis] for axis in axes)
        for factor in _prime_factors(lacking):
            axis = next(a for a in free if primes.shape[a] == factor)
            free.remove(axis)
            axes.append(axis)
    return named_sharding(primes, tuple(map(tuple, kept)))


def prime_axes(sharding: NamedSharding, rank: int) -> list[list[str]]:
    """The axes of the prime mesh that split each dim."""
    names = iter(prime_mesh(sharding.mesh).axis_names)
    of_axis = {
        axis: [next(names) for _ in _prime_factors(size)]
        for axis, size in sharding.mesh.shape.items()
    }
    dims: list[list[str]] = []
    for entry in [*sharding.spec, *[None] * (rank - len(sharding.spec))]:
        axes = () if entry is None else (entry,) if isinstance(entry, str) else entry
        dims.append([name for axis in axes for name in of_axis[axis]])
    return dims


def _fitting(axes: list[str], parts: int, primes: Mesh) -> list[str]:
    """The longest major part of `axes` that splits in a divisor of `parts`."""
    fitting: list[str] = []
    for axis in axes:
        parts, rest = divmod(parts, primes.shape[axis])
        if rest:
            break
        fitting.append(axis)
    return fitting


@dataclass(frozen=True)
class Piece:
    """What the tile of `target` gets from the tile of `source`."""

    source: Any
    target: Any
    overlap: Tile


def find_pieces(
    shape: tuple[int, ...], source: NamedSharding, target: NamedSharding
) -> list[Piece]:
    """Every wanted tile in pieces, each from one device; the same tile has one sender per receiver.

    Receivers of one tile take it from different holders in turn, so that none sends all.
    """
    holders: dict[Tile, list[Any]] = {}
    for device, tile in tiles(shape, source).items():
        holders.setdefault(tile, []).append(device)
    pieces: list[Piece] = []
    for number, (device, wanted) in enumerate(tiles(shape, target).items()):
        for tile, devices in holders.items():
            overlap = _overlap(wanted, tile)
            if _size(overlap):
                holder = device if device in devices else devices[number % len(devices)]
                pieces.append(Piece(holder, device, overlap))
    return pieces
