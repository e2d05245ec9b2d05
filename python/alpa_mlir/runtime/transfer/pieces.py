"""Overlaps of tiles: programs that cut them out of tiles and join them to tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding

from alpa_mlir.program.placement import Tile
from alpa_mlir.program.route import Piece


def compile_cut(device: Any, tile: Tile, pieces: Sequence[Piece], dtype: Any) -> Any:
    sections = [within(piece.overlap, tile) for piece in pieces]
    jitted = jax.jit(
        lambda array: [array[section] for section in sections],
        in_shardings=SingleDeviceSharding(device),
    )
    return jitted.lower(jax.ShapeDtypeStruct(shape_of(tile), dtype)).compile()


def compile_join(device: Any, tile: Tile, parts: Sequence[Tile], dtype: Any) -> Any:
    """Parts tile the whole; each dim is joined from the last to the first."""
    order = sorted(range(len(parts)), key=lambda i: parts[i])

    def join(*arrays: Any) -> Any:
        return _join([(parts[i], arrays[i]) for i in order], 0)

    structs = [jax.ShapeDtypeStruct(shape_of(part), dtype) for part in parts]
    jitted = jax.jit(join, in_shardings=SingleDeviceSharding(device))
    return jitted.lower(*structs).compile()


def _join(parts: list[tuple[Tile, Any]], dim: int) -> Any:
    if len(parts) == 1:
        return parts[0][1]
    slabs: dict[Any, list[tuple[Tile, Any]]] = {}
    for tile, array in parts:
        slabs.setdefault(tile[dim], []).append((tile, array))
    joined = [_join(slab, dim + 1) for slab in slabs.values()]
    return jax.lax.concatenate(joined, dim) if len(joined) > 1 else joined[0]


def within(part: Tile, tile: Tile) -> tuple[slice, ...]:
    pairs = zip(part, tile, strict=True)
    return tuple(slice(p[0] - whole[0], p[1] - whole[0]) for p, whole in pairs)


def shape_of(tile: Tile) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in tile)
