"""Arrays cross from mesh to mesh unchanged, by every route, and nothing waits for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.program import route
from alpa_mlir.program.placement import Placement
from alpa_mlir.program.route import find_route
from alpa_mlir.runtime.transfer.transfer import compile_transfer
from alpa_mlir.xla.diagnostics import rematerializations, with_captured_log
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SHAPE = (24, 12)
ARRAY = np.arange(24 * 12, dtype=np.float32).reshape(SHAPE)


def mesh_of(first: int, *shape: int) -> Mesh:
    devices = np.array(jax.devices()[first : first + int(np.prod(shape))], dtype=object)
    return Mesh(devices.reshape(shape), ("x", "y")[: len(shape)])


def shardings(mesh: Mesh) -> Iterator[NamedSharding]:
    """Every way to split two dims over the mesh's axes."""
    axes = mesh.axis_names
    entries: list[Any] = [None, *axes, *([axes] if len(axes) > 1 else [])]
    for entry in itertools.product(entries, entries):
        used = [a for e in entry if e for a in (e if isinstance(e, tuple) else (e,))]
        if len(used) == len(set(used)):
            yield NamedSharding(mesh, PartitionSpec(*entry))


def placed(sharding: NamedSharding) -> Placement:
    return Placement.of(sharding, len(SHAPE))


def check_all(source: Mesh, target: Mesh, stride: int = 1) -> None:
    pairs = list(itertools.product(shardings(source), shardings(target)))[::stride]
    avals = [jax.ShapeDtypeStruct(SHAPE, jnp.float32)] * len(pairs)
    transfer, log = with_captured_log(
        lambda: compile_transfer(avals, [s for s, _ in pairs], [t for _, t in pairs])
    )
    assert not rematerializations(log)
    arrays = transfer([jax.device_put(ARRAY, s) for s, _ in pairs])
    for array, (_, wanted) in zip(arrays, pairs, strict=True):
        assert array.sharding == wanted
        np.testing.assert_array_equal(np.asarray(array), ARRAY)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (((0, 2)), ((4, 2, 2))),
        (((4, 2, 2)), ((0, 1, 2))),
        (((0, 1)), ((4, 4))),
        (((4, 4)), ((0, 1))),
        (((0, 3)), ((4, 2, 2))),
        (((0, 4)), ((4, 2, 2))),
        (((2, 4)), ((2, 2, 2))),
        (((0, 4)), ((2, 2, 2))),
    ],
    ids=str,
)  # fmt: skip
def test_all_pairs_of_shardings(source: tuple[int, ...], target: tuple[int, ...]) -> None:
    check_all(mesh_of(*source), mesh_of(*target))


@pytest.mark.parametrize(
    ("source", "target"), [((0, 2), (4, 2, 2)), ((4, 2, 2), (0, 3)), ((0, 3), (2, 2, 2))], ids=str
)
def test_all_pairs_in_pieces(
    source: tuple[int, ...], target: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_BYTES_PER_PIECE", -1)
    check_all(mesh_of(*source), mesh_of(*target), stride=5)


def on(mesh: Mesh, *spec: Any) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*spec))


def test_keys_scalars_and_empty_arrays() -> None:
    source, target = mesh_of(0, 2), mesh_of(4, 2, 2)
    arrays = [
        jax.device_put(jax.random.split(jax.random.key(0), 4), on(source, "x")),
        jax.device_put(jax.random.key(1), on(source)),
        jax.device_put(jnp.zeros((0, 4)), on(source, None, "x")),
        jax.device_put(jnp.float32(3), on(source)),
        jax.device_put(jnp.arange(8, dtype=jnp.bfloat16), on(source, "x")),
    ]
    wanted = [on(target, ("x", "y")), on(target), on(target, "y"), on(target), on(target, "y")]
    moved = compile_transfer(arrays, [a.sharding for a in arrays], wanted)(arrays)
    for before, after, sharding in zip(arrays, moved, wanted, strict=True):
        assert (after.sharding, after.dtype) == (sharding, before.dtype)
        if jnp.issubdtype(before.dtype, jax.dtypes.prng_key):
            before, after = jax.random.key_data(before), jax.random.key_data(after)
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


@pytest.mark.parametrize("mesh", [(0, 4), (4, 2, 2), (1, 3), (2, 1, 4)], ids=str)
def test_tiles_are_those_of_jax(mesh: tuple[int, ...]) -> None:
    for sharding in shardings(mesh_of(*mesh)):
        indices = sharding.devices_indices_map(SHAPE)
        expected = {
            device.id: tuple(
                (part.start or 0, size if part.stop is None else part.stop)
                for part, size in zip(index, SHAPE, strict=True)
            )
            for device, index in indices.items()
        }
        placement = placed(sharding)
        assert placement.tiles(SHAPE) == expected
        assert placement.in_primes.tiles(SHAPE) == expected
        devices = {device.id: device for device in jax.devices()}
        assert placement.sharding(devices).is_equivalent_to(sharding, len(SHAPE))


FULL = 24 * 12 * 4


@pytest.mark.parametrize(
    ("source", "target", "num_bytes", "reshards"),
    [
        (("x",), ("x",), FULL, (False, False)),  # tiles are equal
        (("x",), (), 2 * FULL + 2 * FULL, (False, True)),  # gathered by the receivers
        ((), ("x",), FULL * 2, (True, False)),  # sliced where it is, each half to two devices
        (("x",), (None, "x"), 2 * FULL + FULL // 2, (True, False)),
        (("x",), (("x", "y"),), 2 * FULL, (False, True)),  # halves, sliced by the receivers
    ],
    ids=str,
)
def test_bytes_are_those_of_the_route(
    source: Any, target: Any, num_bytes: int, reshards: tuple[bool, bool]
) -> None:
    two, four = mesh_of(0, 2), mesh_of(4, 2, 2)
    if source == target:
        four = mesh_of(4, 2)
    before, after = (placed(end) for end in (on(two, *source), on(four, *target)))
    found = find_route(SHAPE, np.dtype(np.float32), before, after)
    assert found.bytes == num_bytes
    assert (found.before != before, found.after != after) == reshards


def test_large_arrays_go_in_pieces_where_that_moves_less() -> None:
    before, after = (placed(on(mesh_of(*m), "x")) for m in ((0, 2), (4, 4)))
    shape = (1 << 12, 1 << 10)
    found = find_route(shape, np.dtype(np.float32), before, after)
    assert found.is_in_pieces
    assert found.bytes == (1 << 22) * 4
    small = find_route(SHAPE, np.dtype(np.float32), before, after)
    assert not small.is_in_pieces


def test_every_tile_that_is_put_is_there() -> None:
    """What makes `device_put` direct."""
    for source, target in [((0, 3), (4, 2, 2)), ((0, 2), (4, 4)), ((4, 2, 2), (0, 1))]:
        for before in shardings(mesh_of(*source)):
            for after in shardings(mesh_of(*target)):
                ends = placed(before), placed(after)
                found = find_route(SHAPE, np.dtype(np.float32), *ends)
                sent, wanted = found.before.tiles(SHAPE), found.after.tiles(SHAPE)
                assert set(wanted.values()) <= set(sent.values())


@pytest.mark.parametrize("target", [("x",), (), (None, ("x", "y")), (("x", "y"),)], ids=str)
@pytest.mark.parametrize("is_in_pieces", [False, True])
def test_transfers_do_not_wait(
    target: Any, is_in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_in_pieces:
        monkeypatch.setattr(route, "_BYTES_PER_PIECE", -1)
    before, after = on(mesh_of(0, 2), "x"), on(mesh_of(4, 2, 2), *target)

    @jax.jit
    def slow(x: Any) -> Any:
        return jax.lax.fori_loop(0, 40_000_000, lambda _, y: y + 1, jnp.float32(0)) * 0 + x

    array = jax.device_put(ARRAY, before)
    slow(array).block_until_ready()
    transfer = compile_transfer([array], [before], [after])
    (moved,) = transfer([slow(array)])
    assert not moved.is_ready()
    np.testing.assert_array_equal(np.asarray(moved), ARRAY)
