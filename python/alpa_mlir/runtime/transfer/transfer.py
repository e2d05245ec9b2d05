"""Moves the arrays of one transfer instruction along their routes, all in one put."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding

from alpa_mlir.program.placement import Placement, devices_of
from alpa_mlir.program.route import Piece, find_pieces, find_route
from alpa_mlir.runtime.transfer.pieces import compile_cut, compile_join
from alpa_mlir.runtime.transfer.reshard import Arrays, Reshard, compile_reshard


@dataclass(frozen=True, eq=False)
class CompiledTransfer:
    """A function of the arrays on the sender's mesh that returns them on the receiver's.

    Attributes:
      bytes: what all devices receive from other devices, reshards included.
    """

    bytes: int
    put_positions: tuple[int, ...]
    put_shardings: list[NamedSharding] | NamedSharding
    before: Reshard | None
    after: Reshard | None
    in_pieces: tuple[tuple[int, PieceMove], ...]

    def __call__(self, arrays: Arrays) -> Arrays:
        moved = self.before(arrays) if self.before else arrays
        put = jax.device_put([moved[i] for i in self.put_positions], self.put_shardings)
        if not self.in_pieces:
            return self.after(put) if self.after else put
        moved = list(arrays)
        for position, array in zip(self.put_positions, put, strict=True):
            moved[position] = array
        for position, move in self.in_pieces:
            moved[position] = move(arrays[position])
        return self.after(moved) if self.after else moved


def compile_transfer(
    avals: Sequence[Any], sources: Sequence[NamedSharding], targets: Sequence[NamedSharding]
) -> CompiledTransfer:
    """Chooses a route for every array and compiles the reshards on it."""
    arrays = list(zip(avals, sources, targets, strict=True))
    routes = [
        find_route(a.shape, a.dtype, *(Placement.of(end, len(a.shape)) for end in ends))
        for a, *ends in arrays
    ]
    starts = [
        sharding_at(route.before, source) for route, source in zip(routes, sources, strict=True)
    ]
    arrivals = [
        sharding_at(route.after, target) for route, target in zip(routes, targets, strict=True)
    ]
    put_positions = tuple(i for i, route in enumerate(routes) if not route.is_in_pieces)
    return CompiledTransfer(
        sum(route.bytes for route in routes),
        put_positions,
        _at_once([arrivals[i] for i in put_positions]),
        compile_reshard(avals, sources, starts),
        compile_reshard(avals, arrivals, targets),
        tuple(
            (i, _compile_pieces(*arrays[i])) for i, route in enumerate(routes) if route.is_in_pieces
        ),
    )


def sharding_at(placement: Placement, end: NamedSharding) -> NamedSharding:
    """The placement on the devices of this end of the transfer."""
    if placement == Placement.of(end, len(placement.spec)):
        return end
    return placement.sharding({device.id: device for device in devices_of(end)})


def _at_once(shardings: list[NamedSharding]) -> list[NamedSharding] | NamedSharding:
    """One for all arrays where they are equal: JAX takes 10 to 20 us longer to match up a list."""
    return shardings[0] if len(set(shardings)) == 1 else shardings


@dataclass(frozen=True, eq=False)
class PieceMove:
    """Cuts overlaps out of tiles, puts them on the devices that want them, and joins them there.

    Attributes:
      cuts: for each sending device, the position of its tile and the program that cuts it.
      devices: where the pieces go, in the order in which they are cut.
      joins: for each receiving device, in the order of the mesh, its pieces and what joins them.
    """

    shape: tuple[int, ...]
    target: NamedSharding
    cuts: tuple[tuple[int, Callable[..., Any]], ...]
    devices: list[Any]
    joins: tuple[tuple[tuple[int, ...], Callable[..., Any] | None], ...]

    def __call__(self, array: Any) -> Any:
        shards = [shard.data for shard in array.addressable_shards]
        pieces = [piece for position, cut in self.cuts for piece in cut(shards[position])]
        put = jax.device_put(pieces, self.devices)
        joined = [
            join(*[put[i] for i in numbers]) if join else put[numbers[0]]
            for numbers, join in self.joins
        ]
        return jax.make_array_from_single_device_arrays(self.shape, self.target, joined)


def _compile_pieces(aval: Any, source: NamedSharding, target: NamedSharding) -> PieceMove:
    ends = Placement.of(source, aval.ndim), Placement.of(target, aval.ndim)
    there, wanted = (end.tiles(aval.shape) for end in ends)
    devices = {device.id: device for end in (source, target) for device in devices_of(end)}
    # A tile's position in `addressable_shards`, whose order is that of the mesh.
    positions = {number: position for position, number in enumerate(there)}
    of_sender: dict[int, list[Piece]] = {}
    for piece in find_pieces(aval.shape, *ends):
        of_sender.setdefault(piece.source, []).append(piece)
    ordered = [piece for pieces in of_sender.values() for piece in pieces]
    cuts = tuple(
        (positions[sender], compile_cut(devices[sender], there[sender], pieces, aval.dtype))
        for sender, pieces in of_sender.items()
    )
    joins: list[tuple[tuple[int, ...], Callable[..., Any] | None]] = []
    for receiver, tile in wanted.items():
        numbers = tuple(i for i, piece in enumerate(ordered) if piece.target == receiver)
        parts = [ordered[i].overlap for i in numbers]
        join = None
        if parts != [tile]:
            join = compile_join(devices[receiver], tile, parts, aval.dtype)
        joins.append((numbers, join))
    receivers = [devices[piece.target] for piece in ordered]
    return PieceMove(aval.shape, target, cuts, receivers, tuple(joins))
