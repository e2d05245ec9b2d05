"""Arrays that go to other processes: what this one cuts out, sends, receives and joins.

Arrays are cut into pieces that lie on one device each. A piece crosses to a process once, however
many of its devices want it, and comes from the same process where that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, SingleDeviceSharding

from alpa_mlir.program.placement import Placement, Tile, devices_of
from alpa_mlir.program.route import find_pieces
from alpa_mlir.runtime.transfer.pieces import compile_join, shape_of, within
from alpa_mlir.runtime.transfer.servers import TransferServers


@dataclass(frozen=True)
class Crossing:
    """An array as it crosses.

    Attributes:
      shape, dtype: of the whole array; the dtype is one of numpy's.
      start, arrival: how it lies on the sender's mesh, and how it is to lie on the receiver's.
      is_copied: whether what is sent is a copy, since the array may be donated before it is pulled.
    """

    shape: tuple[int, ...]
    dtype: Any
    start: NamedSharding
    arrival: NamedSharding
    is_copied: bool


@dataclass(frozen=True)
class _Cut:
    """What one device sends: tiles of its arrays, by position of array and shard, through a program
    that cuts and copies; None hands the tiles on."""

    tiles: tuple[tuple[int, int], ...]
    program: Callable[..., Any] | None

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        # `addressable_data` has one shard alone of an array that is whole everywhere.
        shards = [arrays[array].addressable_shards[shard].data for array, shard in self.tiles]
        return list(self.program(*shards)) if self.program else shards


@dataclass(frozen=True)
class _Arrival:
    """How an array is made: of each tile the numbers of its pieces, and what joins them."""

    shape: tuple[int, ...]
    dtype: Any
    sharding: NamedSharding
    tiles: tuple[tuple[tuple[int, ...], Callable[..., Any] | None], ...]

    def __call__(self, values: Sequence[Any]) -> Any:
        shards = [
            join(*[values[n] for n in numbers]) if join else values[numbers[0]]
            for numbers, join in self.tiles
        ]
        return jax.make_array_from_single_device_arrays(
            self.shape, self.sharding, shards, dtype=self.dtype
        )


@dataclass(frozen=True, eq=False)
class Exchange:
    """This process' part in a transfer: a function of its arrays on the sender's mesh, which
    returns those on the receiver's; a process that has no device on one of them is given, or
    returns, none.

    Attributes:
      sends, receives: by process, numbers of values, and types of what comes.
      puts: numbers of values that go to other devices of this process.
    """

    servers: TransferServers
    cuts: tuple[_Cut, ...]
    sends: tuple[tuple[int, tuple[int, ...]], ...]
    receives: tuple[tuple[int, tuple[Any, ...]], ...]
    puts: tuple[tuple[int, ...], list[Any]]
    arrivals: tuple[_Arrival, ...]

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        values = [value for cut in self.cuts for value in cut(arrays)]
        for receiver, numbers in self.sends:
            self.servers.send(receiver, [values[n] for n in numbers])
        for sender, structs in self.receives:
            values += self.servers.receive(sender, structs)
        numbers, devices = self.puts
        if numbers:
            values += jax.device_put([values[n] for n in numbers], devices)
        return [arrival(values) for arrival in self.arrivals]


def compile_exchange(
    crossings: Sequence[Crossing], servers: TransferServers, process: int
) -> Exchange:
    """What `process` does so that all arrays arrive. Every process finds the same pieces."""
    planned = _Planned(process)
    for array, crossing in enumerate(crossings):
        for piece in _pieces(crossing):
            planned.add(array, piece)
    cuts, numbers = _compile_cuts(crossings, planned.taken, process)
    sends = tuple(
        (receiver, tuple(numbers[key] for key in keys)) for receiver, keys in planned.sent.items()
    )
    receives: list[tuple[int, tuple[Any, ...]]] = []
    for sender, wanted in planned.received.items():
        structs: list[Any] = []
        for array, overlap, device in wanted:
            numbers[array, overlap, device] = len(numbers)
            placed = SingleDeviceSharding(device)
            dtype = crossings[array].dtype
            structs.append(jax.ShapeDtypeStruct(shape_of(overlap), dtype, sharding=placed))
        receives.append((sender, tuple(structs)))
    put_numbers: list[int] = []
    put_devices: list[Any] = []
    for origin, target in planned.local:
        array, overlap, _ = origin
        if (array, overlap, target) not in numbers:
            put_numbers.append(numbers[origin])
            put_devices.append(target)
            numbers[array, overlap, target] = len(numbers)
    arrivals = [
        _compile_arrival(array, crossing, planned, numbers, process)
        for array, crossing in enumerate(crossings)
    ]
    puts = (tuple(put_numbers), put_devices)
    found = tuple(arrival for arrival in arrivals if arrival)
    return Exchange(servers, cuts, sends, tuple(receives), puts, found)


# The overlap of an array on a device.
_Key = tuple[int, Tile, Any]


@dataclass
class _Planned:
    """What a process has to do with the pieces.

    Attributes:
      taken: what its devices hand out. sent, received: by process, each once.
      local: what goes from one of its devices, or comes to one, for another of them.
      wanted: of every array and device, the pieces of its tile.
    """

    process: int
    taken: dict[_Key, None] = field(default_factory=dict[_Key, None])
    sent: dict[int, dict[_Key, None]] = field(default_factory=dict[int, dict[_Key, None]])
    received: dict[int, list[_Key]] = field(default_factory=dict[int, list[_Key]])
    local: list[tuple[_Key, Any]] = field(default_factory=list[tuple[_Key, Any]])
    wanted: dict[tuple[int, Any], list[Tile]] = field(
        default_factory=dict[tuple[int, Any], list[Tile]]
    )
    _first: dict[tuple[int, Tile, int], Any] = field(
        default_factory=dict[tuple[int, Tile, int], Any]
    )

    def add(self, array: int, piece: _DevicePiece) -> None:
        sender, receiver = piece.source.process_index, piece.target.process_index
        key = (array, piece.overlap, piece.source)
        if receiver == self.process:
            self.wanted.setdefault((array, piece.target), []).append(piece.overlap)
        if sender == receiver == self.process:
            self.taken[key] = None
            self.local.append((key, piece.target))
        if sender == receiver:
            return
        crossed = (array, piece.overlap, receiver)
        first = self._first.setdefault(crossed, piece.target)
        if sender == self.process and first == piece.target:
            self.taken[key] = None
            self.sent.setdefault(receiver, {})[key] = None
        if receiver == self.process:
            arrived = (array, piece.overlap, first)
            if first == piece.target:
                self.received.setdefault(sender, []).append(arrived)
            else:
                self.local.append((arrived, piece.target))


@dataclass(frozen=True)
class _DevicePiece:
    source: Any
    target: Any
    overlap: Tile


def _pieces(crossing: Crossing) -> Iterator[_DevicePiece]:
    ends = (crossing.start, crossing.arrival)
    devices = {device.id: device for end in ends for device in devices_of(end)}
    source, target = (Placement.of(end, len(crossing.shape)) for end in ends)

    def is_near(sender: int, receiver: int) -> bool:
        return devices[sender].process_index == devices[receiver].process_index

    for piece in find_pieces(crossing.shape, source, target, is_near):
        yield _DevicePiece(devices[piece.source], devices[piece.target], piece.overlap)


def _compile_cuts(
    crossings: Sequence[Crossing], taken: dict[_Key, None], process: int
) -> tuple[tuple[_Cut, ...], dict[_Key, int]]:
    """And the numbers of what they return."""
    numbers: dict[_Key, int] = {}
    cuts: list[_Cut] = []
    of_device: dict[Any, list[_Key]] = {}
    for key in taken:
        array, overlap, device = key
        tile = _tile(crossings[array], device)
        if overlap == tile and not crossings[array].is_copied:
            numbers[key] = len(numbers)
            cuts.append(_Cut(((array, _shard(crossings[array], device, process)),), None))
        else:
            of_device.setdefault(device, []).append(key)
    for device, keys in of_device.items():
        tiles = tuple((a, _shard(crossings[a], device, process)) for a, _, _ in keys)
        cuts.append(_Cut(tiles, _compile_cut(crossings, device, keys)))
        first = len(numbers)
        numbers.update((key, first + i) for i, key in enumerate(keys))
    return tuple(cuts), numbers


def _compile_cut(crossings: Sequence[Crossing], device: Any, keys: Sequence[_Key]) -> Any:
    sections = [within(overlap, _tile(crossings[array], device)) for array, overlap, _ in keys]

    def cut(*tiles: Any) -> list[Any]:
        # Of a whole tile a copy: JAX would hand the tile itself on.
        return [jnp.copy(tile[part]) for tile, part in zip(tiles, sections, strict=True)]

    structs = [
        jax.ShapeDtypeStruct(shape_of(_tile(crossings[a], device)), crossings[a].dtype)
        for a, _, _ in keys
    ]
    jitted = jax.jit(cut, in_shardings=SingleDeviceSharding(device))
    return jitted.lower(*structs).compile()


def _compile_arrival(
    array: int, crossing: Crossing, planned: _Planned, numbers: dict[_Key, int], process: int
) -> _Arrival | None:
    """None where no device of the process is on the receiver's mesh."""
    placement = Placement.of(crossing.arrival, len(crossing.shape))
    devices = [d for d in devices_of(crossing.arrival) if d.process_index == process]
    if not devices:
        return None
    wanted = placement.tiles(crossing.shape)
    tiles: list[tuple[tuple[int, ...], Callable[..., Any] | None]] = []
    for device in devices:
        tile, parts = wanted[device.id], planned.wanted.get((array, device), [])
        if not parts:  # an array without elements
            join = _compile_empty(device, tile, crossing.dtype)
        else:
            join = None if parts == [tile] else compile_join(device, tile, parts, crossing.dtype)
        tiles.append((tuple(numbers[array, part, device] for part in parts), join))
    return _Arrival(crossing.shape, crossing.dtype, crossing.arrival, tuple(tiles))


def _compile_empty(device: Any, tile: Tile, dtype: Any) -> Any:
    placed = SingleDeviceSharding(device)
    return jax.jit(lambda: jnp.zeros(shape_of(tile), dtype), out_shardings=placed).lower().compile()


def _tile(crossing: Crossing, device: Any) -> Tile:
    return Placement.of(crossing.start, len(crossing.shape)).tiles(crossing.shape)[device.id]


def _shard(crossing: Crossing, device: Any, process: int) -> int:
    """Where the device's tile is among those of the process, which lie in the mesh's order."""
    own = [d for d in devices_of(crossing.start) if d.process_index == process]
    return own.index(device)
