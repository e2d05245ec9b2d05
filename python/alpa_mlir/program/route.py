"""How an array goes from its placement on one mesh to a placement on another, never by the host.

`jax.device_put` moves tiles as they are: it is direct and asynchronous where every tile that is
wanted is a tile that is there. Otherwise a route cuts the array alike on both meshes: it is
resharded on the sender, put, and resharded on the receiver, where either reshard may be none. Last,
overlaps of tiles can be cut out and put one by one, which moves the fewest bytes and takes the
driver's time for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir.program.placement import Placement, Tile

# What a link carries while the driver cuts out, puts and joins one piece: about 100 us at 10 GB/s.
_BYTES_PER_PIECE = 1 << 20


@dataclass(frozen=True)
class Route:
    """The stations between the placement an array has and the one that is wanted.

    Attributes:
      before: the placement in which the array is put, on the sender's mesh.
      after: the placement in which it arrives.
      is_in_pieces: overlaps of tiles are put instead; `before` is the array's own placement and
        `after` the one that is wanted.
      bytes: what all devices receive from other devices, reshards included.
    """

    before: Placement
    after: Placement
    is_in_pieces: bool
    bytes: int


def find_route(shape: tuple[int, ...], dtype: Any, source: Placement, target: Placement) -> Route:
    """The route that moves the fewest bytes; of equals the one with the fewest reshards."""
    itemsize = dtype.itemsize
    routes = _reshard_routes(shape, itemsize, source, target)
    best = min(routes, key=lambda r: (r.bytes, (r.before != source) + (r.after != target)))
    if _is_direct(best, source, target) or jnp.issubdtype(dtype, jax.dtypes.extended):
        return best
    pieces = find_pieces(shape, source, target)
    num_elements = sum(_size(piece.overlap) for piece in pieces if piece.source != piece.target)
    route = Route(source, target, True, num_elements * itemsize)
    is_better = route.bytes + _BYTES_PER_PIECE * len(pieces) < best.bytes
    return route if is_better else best


def _is_direct(route: Route, source: Placement, target: Placement) -> bool:
    return not route.is_in_pieces and route.before == source and route.after == target


def _reshard_routes(
    shape: tuple[int, ...], itemsize: int, source: Placement, target: Placement
) -> Iterator[Route]:
    """One for every grid of tiles that both meshes can hold."""
    if source.devices == target.devices:
        yield Route(target, target, False, itemsize * _moved(shape, source, target))
        return
    if set(target.tiles(shape).values()) <= set(source.tiles(shape).values()):
        yield Route(source, target, False, itemsize * _moved(shape, source, target))
    num_tiles = gcd(len(source.devices), len(target.devices))
    for grid in _grids(shape, num_tiles):
        before, after = source.cut(grid), target.cut(grid)
        moved = (
            _moved(shape, source, before)
            + _moved(shape, before, after)
            + _moved(shape, after, target)
        )
        yield Route(before, after, False, itemsize * moved)


def _moved(shape: tuple[int, ...], source: Placement, target: Placement) -> int:
    """Elements that devices need for their tiles of `target` and do not have."""
    there = source.tiles(shape)
    return sum(
        _size(tile) - (_size(_overlap(tile, there[device])) if device in there else 0)
        for device, tile in target.tiles(shape).items()
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


@dataclass(frozen=True)
class Piece:
    """What the tile of device `target` gets from the tile of device `source`."""

    source: int
    target: int
    overlap: Tile


def find_pieces(
    shape: tuple[int, ...],
    source: Placement,
    target: Placement,
    is_near: Callable[[int, int], bool] = lambda _source, _target: True,
) -> list[Piece]:
    """Every wanted tile in pieces, each from one device; the same tile has one sender per receiver.

    Receivers of one tile take it from different holders in turn, so that none sends all.

    Args:
      is_near: whether the link from one device to another is a fast one; holders that are far send
        where none is near.
    """
    holders: dict[Tile, list[int]] = {}
    for device, tile in source.tiles(shape).items():
        holders.setdefault(tile, []).append(device)
    pieces: list[Piece] = []
    for number, (device, wanted) in enumerate(target.tiles(shape).items()):
        for tile, devices in holders.items():
            overlap = _overlap(wanted, tile)
            if _size(overlap):
                near = [holder for holder in devices if is_near(holder, device)] or devices
                holder = device if device in devices else near[number % len(near)]
                pieces.append(Piece(holder, device, overlap))
    return pieces
