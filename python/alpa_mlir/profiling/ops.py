"""What is measured: ops of known FLOP and bytes, over sizes, shapes and types.

Each runs on every device at once, on arrays of its own, because devices may share what they run on
(virtual CPU devices share its cores). Some are held out: curves are made without them, and their
errors are those of the curves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

ELEMENT_TYPES: dict[str, Any] = {"f32": jnp.float32, "bf16": jnp.bfloat16, "f16": jnp.float16}

_GOLDEN = 0.6180339887


@dataclass(frozen=True)
class MeasuredOp:
    """One op of one size, as one device does it.

    Attributes:
      op_class: as curves are named (`alpa_mlir.cluster.efficiency`), or the kind of a collective.
      element_type: MLIR's name.
      operands: shapes and dtypes.
      run: the op, of its operands; a collective runs over the axis "devices". None: nothing, for
        what the rest of a measurement takes.
      flops: of products. num_bytes: read and written, or of a collective the larger of operand and
        result on a device.
      is_held_out: whether curves are made without it.
      group_size: of a collective.
      is_in_place: whether the result takes the place of the first operand.
    """

    op_class: str
    element_type: str
    operands: tuple[jax.ShapeDtypeStruct, ...]
    run: Callable[..., jax.Array] | None
    flops: float
    num_bytes: float
    is_held_out: bool = False
    group_size: int = 1
    is_in_place: bool = False

    @property
    def name(self) -> str:
        shapes = " ".join("x".join(map(str, s.shape)) for s in self.operands)
        return f"{self.op_class} {self.element_type} {shapes}"


@dataclass(frozen=True)
class Scale:
    """How large ops are where a device is so fast: as large as models have them there.

    Attributes:
      element_types: of products; the last of three is measured sparsely, as one of the others is
        alike.
      largest_product, smallest_product: rows and columns of a square one.
      largest_bytes, smallest_bytes: of arrays of memory-bound ops.
      largest_collective_bytes: on a device.
      flops, bytes_per_second, seconds: guesses of its rates and of its shortest op, from which
        follows how often an op is run.
    """

    element_types: tuple[str, ...]
    largest_product: int
    smallest_product: int
    largest_bytes: int
    smallest_bytes: int
    largest_collective_bytes: int
    flops: float
    bytes_per_second: float
    seconds: float

    def guess_seconds(self, op: MeasuredOp) -> float:
        return max(op.flops / self.flops, op.num_bytes / self.bytes_per_second, self.seconds)


SMALL = Scale(("f32",), 512, 64, 2**24, 2**17, 2**22, 1e10, 2e9, 2e-5)  # cores of a CPU
LARGE = Scale(("f32", "bf16", "f16"), 8192, 256, 2**29, 2**18, 2**28, 5e14, 3e12, 4e-6)


def all_ops(scale: Scale, num_devices: int) -> list[MeasuredOp]:
    """In an order that, wherever time runs out, leaves about the same part of every kind, size and
    shape, held out or not."""
    ops = list(_memory_ops(scale))
    for number, element_type in enumerate(scale.element_types):
        products = list(_products(scale, element_type))
        ops += products if number < 2 else products[::3]
        if number < 2:
            ops += _convolutions(scale, element_type)
    if num_devices > 1:
        ops += _collectives(scale, num_devices)
    kinds: dict[tuple[str, str], list[MeasuredOp]] = {}
    for op in ops:
        kinds.setdefault((op.op_class, op.element_type), []).append(op)
    ranked = [
        ((rank + 0.5) / len(of_kind), op)
        for of_kind in kinds.values()
        for rank, op in enumerate(_spread(of_kind))
    ]
    return [op for _, op in sorted(ranked, key=lambda each: each[0])]


def _spread(ops: list[MeasuredOp]) -> list[MeasuredOp]:
    """Multiples of the golden ratio fall evenly into the list, however many are taken."""
    return [ops[i] for i in sorted(range(len(ops)), key=lambda i: i * _GOLDEN % 1)]


# --- Products ---


def _products(scale: Scale, element_type: str) -> Iterator[MeasuredOp]:
    """Squares, tall and wide ones, shallow and deep ones; batches of them."""
    n = scale.largest_product
    while n >= scale.smallest_product:
        yield _product(element_type, 1, n, n, n)
        # Of other shapes and of sizes between the powers of two.
        yield _product(element_type, 1, n // 4 * 3, n // 2, n // 4 * 3, is_held_out=True)
        yield _product(element_type, n // 8, 32, n // 8, 64)
        yield _product(element_type, 1, n, n // 4, n)
        yield _product(element_type, n // 16, 64, n // 8, 48, is_held_out=True)
        yield _product(element_type, 1, 2 * n, n // 8, n // 2)
        yield _product(element_type, 1, n, 64, n, is_held_out=True)
        n //= 2


def _product(
    element_type: str, batch: int, m: int, k: int, n: int, is_held_out: bool = False
) -> MeasuredOp:
    """(batch, m, k) times (batch, k, n)."""
    dtype = jnp.dtype(ELEMENT_TYPES[element_type])
    lead = (batch,) if batch > 1 else ()
    operands = (
        jax.ShapeDtypeStruct((*lead, m, k), dtype),
        jax.ShapeDtypeStruct((*lead, k, n), dtype),
    )
    return MeasuredOp(
        "batched_product" if batch > 1 else "product",
        element_type,
        operands,
        jnp.matmul,
        2.0 * batch * m * k * n,
        dtype.itemsize * batch * (m * k + k * n + m * n),
        is_held_out,
    )


def _convolutions(scale: Scale, element_type: str) -> Iterator[MeasuredOp]:
    """3x3 over images, channels from many to few, as networks have them."""
    channels = scale.largest_product // 8
    while channels >= scale.smallest_product // 8:
        for size, batch, is_held_out in ((16, 8, False), (14, 12, True), (32, 8, False)):
            yield _convolution(element_type, batch, size, channels, is_held_out)
        channels //= 2


def _convolution(
    element_type: str, batch: int, size: int, channels: int, is_held_out: bool
) -> MeasuredOp:
    dtype = jnp.dtype(ELEMENT_TYPES[element_type])
    operands = (
        jax.ShapeDtypeStruct((batch, size, size, channels), dtype),
        jax.ShapeDtypeStruct((3, 3, channels, channels), dtype),
    )
    run = partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    num_pixels = batch * size * size
    return MeasuredOp(
        "convolution",
        element_type,
        operands,
        run,
        2.0 * 9 * num_pixels * channels**2,
        dtype.itemsize * (2 * num_pixels * channels + 9 * channels**2),
        is_held_out,
    )


# --- Memory-bound ops ---


def _memory_ops(scale: Scale) -> Iterator[MeasuredOp]:
    for num_bytes, is_held_out in _sizes(scale.largest_bytes, scale.smallest_bytes, 2):
        rows = max(8, num_bytes // 4 // 1024)
        columns = num_bytes // 4 // rows
        yield from _memory_ops_of(rows, columns, is_held_out)


def _sizes(largest: int, smallest: int, step: int) -> Iterator[tuple[int, bool]]:
    """Sizes that fall by such steps, and whether they are held out, as every third is; these lie
    between two others."""
    size, number = largest, 0
    while size >= smallest:
        yield size, False
        number += 1
        if number % 2 == 0 and size // step >= smallest:
            yield size // step * 4 // 3, True
        size //= step


def _memory_ops_of(rows: int, columns: int, is_held_out: bool) -> Iterator[MeasuredOp]:
    array = jax.ShapeDtypeStruct((rows, columns), jnp.float32)
    indices = jax.ShapeDtypeStruct((rows,), jnp.int32)
    size = 4.0 * rows * columns
    memory_op = partial(MeasuredOp, element_type="f32", flops=0.0, is_held_out=is_held_out)
    yield memory_op("elementwise", operands=(array,), run=_affine, num_bytes=2 * size)
    yield memory_op("reduce", operands=(array,), run=_row_sums, num_bytes=size + 4 * rows)
    yield memory_op("transpose", operands=(array,), run=jnp.transpose, num_bytes=2 * size)
    moved = 2 * size + 4 * rows
    yield memory_op("gather", operands=(array, indices), run=_gathered, num_bytes=moved)
    moved = 3 * size + 4 * rows  # reads the updates, and the elements they change
    operands = (array, array, indices)
    yield memory_op("scatter", operands=operands, run=_scattered, num_bytes=moved, is_in_place=True)


def _affine(x: jax.Array) -> jax.Array:
    return x * 1.5 + 0.5


def _row_sums(x: jax.Array) -> jax.Array:
    return x.sum(axis=1)


def _gathered(table: jax.Array, indices: jax.Array) -> jax.Array:
    return jnp.take(table, indices, axis=0, mode="clip")


def _scattered(table: jax.Array, updates: jax.Array, indices: jax.Array) -> jax.Array:
    return table.at[indices].add(updates, mode="drop")


# --- Collectives ---


def _collectives(scale: Scale, num_devices: int) -> Iterator[MeasuredOp]:
    """Over all devices, and over halves of them, each collective within its group."""
    sizes = [n for n in (num_devices, num_devices // 2, 2) if n > 1 and num_devices % n == 0]
    for num_bytes, is_held_out in _sizes(scale.largest_collective_bytes, 2**12, 4):
        for group_size in dict.fromkeys(sizes):
            yield from _collectives_of(num_bytes, num_devices, group_size, is_held_out)


def _collectives_of(
    num_bytes: int, num_devices: int, group_size: int, is_held_out: bool
) -> Iterator[MeasuredOp]:
    """`num_bytes` on a device, of the whole array where a collective gathers or scatters it."""
    groups = [list(range(first, first + group_size)) for first in range(0, num_devices, group_size)]
    rows = max(1, num_bytes // 4 // 64 // group_size) * group_size
    whole = jax.ShapeDtypeStruct((rows, 64), jnp.float32)
    part = jax.ShapeDtypeStruct((rows // group_size, 64), jnp.float32)
    ring = [(g[i], g[(i + 1) % group_size]) for g in groups for i in range(group_size)]
    over = {"axis_name": "devices", "axis_index_groups": groups}
    collective = partial(
        MeasuredOp,
        element_type="f32",
        flops=0.0,
        num_bytes=4.0 * rows * 64,
        is_held_out=is_held_out,
        group_size=group_size,
    )
    psum = partial(jax.lax.psum, **over)
    yield collective("all-reduce", operands=(whole,), run=psum)
    gather = partial(jax.lax.all_gather, tiled=True, **over)
    yield collective("all-gather", operands=(part,), run=gather)
    scatter = partial(jax.lax.psum_scatter, tiled=True, **over)
    yield collective("reduce-scatter", operands=(whole,), run=scatter)
    exchange = partial(jax.lax.all_to_all, split_axis=0, concat_axis=0, tiled=True, **over)
    yield collective("all-to-all", operands=(whole,), run=exchange)
    permute = partial(jax.lax.ppermute, axis_name="devices", perm=ring)
    yield collective("collective-permute", operands=(whole,), run=permute)
