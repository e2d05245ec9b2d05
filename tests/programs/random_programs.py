"""Random small programs, the same for the same seed, whose results do not depend on rounding.

A program is a list of nodes, each an input or a JAX function of earlier nodes. Integers are int32
and wrap, so sums of any order are equal; floats stay near 1. What jumps (comparisons, argmax, sort,
conversion to integers) is applied only to values known exactly: integers, and floats that have not
been through arithmetic. So two correct executions agree: exactly on integers, closely on floats.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from programs.program_writer import (
    DIM_SIZES,
    NothingSuitableError,
    Program,
    Writer,
    has_rank,
    is_float,
    is_number,
)

EXACT_FLOAT_OPS = (jnp.maximum, jnp.minimum)


def write_elementwise(w: Writer) -> None:
    index = w.pick(is_number)
    functions = (
        [jnp.tanh, jnp.sin, lax.erf, lax.logistic, lambda x: x * x / 4, lambda x: jnp.exp(-x * x)]
        if is_float(w.node(index))
        else [jnp.negative, jnp.abs, lambda x: x * x, lambda x: x ^ 21, lambda x: x >> 1]
    )
    w.apply("elementwise", w.choose(functions), index)


def write_binary(w: Writer) -> None:
    index = w.pick(is_number)
    partner = w.partner(index)
    function = w.choose([jnp.add, jnp.subtract, jnp.multiply, *EXACT_FLOAT_OPS])
    w.apply(function.__name__, function, index, partner, is_movement=function in EXACT_FLOAT_OPS)


def write_select(w: Writer) -> None:
    index = w.pick(lambda node: is_number(node) and node.is_exact)
    other, third = w.partner(index), w.partner(index)
    if not w.node(other).is_exact:
        return
    compare = w.choose([jnp.less, jnp.greater_equal, jnp.equal])
    w.apply("select", lambda a, b, c: jnp.where(compare(a, b), a, c), index, other, third)


def write_convert(w: Writer) -> None:
    index = w.pick(lambda node: node.is_exact)
    if w.node(index).dtype == np.int32:
        w.apply("to_float", lambda x: (x % 17).astype(jnp.float32) / 8, index)
    else:
        w.apply("to_int", lambda x: (x * 8).astype(jnp.int32), index)


def write_iota(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3, 4))
    dim = w.choose(range(len(w.node(index).shape)))

    def add_iota(x: jax.Array) -> jax.Array:
        return x + lax.broadcasted_iota(x.dtype, x.shape, dim) % 3

    w.apply(f"add_iota<{dim}>", add_iota, index)


def write_dot(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3, 4))
    shape, dtype = w.node(index).shape, w.node(index).dtype
    roles = [w.choose(["contract", "batch", "free", "free"]) for _ in shape]
    roles[w.choose(range(len(shape)))] = "contract"
    contracting = [d for d, role in enumerate(roles) if role == "contract"]
    batch = [d for d, role in enumerate(roles) if role == "batch"]
    free = [w.choose(DIM_SIZES) for _ in range(w.choose([0, 1, 1, 2]))]
    other = w.input((*(shape[d] for d in batch), *free, *(shape[d] for d in contracting)), dtype)
    num_batch, rank = len(batch), len(w.node(other).shape)
    dimension_numbers = (
        (contracting, list(range(rank - len(contracting), rank))),
        (batch, list(range(num_batch))),
    )
    scale = np.prod([shape[d] for d in contracting]) ** -0.5

    def dot(a: jax.Array, b: jax.Array) -> jax.Array:
        product = lax.dot_general(a, b, dimension_numbers)
        return product * np.float32(scale) if product.dtype == jnp.float32 else product

    w.apply(f"dot<{dimension_numbers}>", dot, index, other)


def write_convolution(w: Writer) -> None:
    if w.choose([True, False]):
        w.input((w.choose([1, 4, 8]), *([w.choose([5, 8])] * 2), w.choose([2, 3, 8])))
    index = w.pick(lambda node: is_float(node) and len(node.shape) in (3, 4))
    _, *spatial, channels = w.node(index).shape
    groups = w.choose([g for g in (1, 1, 2, channels) if channels % g == 0])
    window = [w.choose([1, 2, 3]) for _ in spatial]
    outputs = groups * w.choose([1, 2, 8])
    kernel = w.input((*window, channels // groups, outputs))
    layout = ("NWC", "WIO", "NWC") if len(spatial) == 1 else ("NHWC", "HWIO", "NHWC")
    options: dict[str, Any] = {
        "window_strides": [w.choose([1, 1, 2]) for _ in spatial],
        "padding": w.choose(["SAME", "VALID"]),
        "rhs_dilation": [w.choose([1, 1, 2]) for _ in spatial],
        "feature_group_count": groups,
        "dimension_numbers": layout,
    }
    scale = np.float32(np.prod([*window, channels // groups]) ** -0.5)
    w.apply(
        f"convolution<{options}>",
        lambda x, k: scale * lax.conv_general_dilated(x, k, **options),
        index,
        kernel,
    )


def write_reduce(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3, 4))
    rank = len(w.node(index).shape)
    dims = tuple(d for d in range(rank) if w.rng.random() < 0.5)
    keeps = w.choose([False, True])
    reduce = w.choose([jnp.mean, jnp.max, jnp.min] if is_float(w.node(index)) else [jnp.sum])
    w.apply(
        f"{reduce.__name__}<{dims}>",
        lambda x: reduce(x, axis=dims, keepdims=keeps),
        index,
        is_movement=reduce is not jnp.mean,
    )


def write_argmax(w: Writer) -> None:
    index = w.pick(lambda node: has_rank(1, 2, 3, 4)(node) and node.is_exact)
    dim = w.choose(range(len(w.node(index).shape)))
    w.apply(f"argmax<{dim}>", lambda x: jnp.argmax(x, axis=dim).astype(jnp.int32), index)


def write_sort(w: Writer) -> None:
    index = w.pick(lambda node: has_rank(1, 2, 3)(node) and node.is_exact)
    dim = w.choose(range(len(w.node(index).shape)))
    w.apply(f"sort<{dim}>", lambda x: jnp.sort(x, axis=dim), index, is_movement=True)


def write_cumsum(w: Writer) -> None:
    index = w.pick(lambda node: node.dtype == np.int32 and len(node.shape) in (1, 2, 3))
    dim = w.choose(range(len(w.node(index).shape)))
    w.apply(f"cumsum<{dim}>", lambda x: jnp.cumsum(x, axis=dim), index)


def write_reshape(w: Writer) -> None:
    """Merges two neighbouring dims, or splits one."""
    index = w.pick(has_rank(1, 2, 3, 4))
    shape = list(w.node(index).shape)
    dim = w.choose(range(len(shape)))
    if dim + 1 < len(shape) and w.choose([True, False]):
        shape[dim : dim + 2] = [shape[dim] * shape[dim + 1]]
    else:
        divisor = w.choose([d for d in range(1, shape[dim] + 1) if shape[dim] % d == 0])
        shape[dim : dim + 1] = [divisor, shape[dim] // divisor]
    w.apply("reshape", lambda x: x.reshape(shape), index, is_movement=True)


def write_transpose(w: Writer) -> None:
    index = w.pick(has_rank(2, 3, 4))
    order = tuple(int(d) for d in w.rng.permutation(len(w.node(index).shape)))
    w.apply(f"transpose<{order}>", lambda x: x.transpose(order), index, is_movement=True)


def write_broadcast(w: Writer) -> None:
    index = w.pick(has_rank(0, 1, 2, 3))
    shape = w.node(index).shape
    at, size = w.choose(range(len(shape) + 1)), w.choose(DIM_SIZES)
    new_shape = (*shape[:at], size, *shape[at:])
    kept = tuple(d for d in range(len(new_shape)) if d != at)
    w.apply(
        f"broadcast<{at}, {size}>",
        lambda x: lax.broadcast_in_dim(x, new_shape, kept),
        index,
        is_movement=True,
    )


def write_slice(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3, 4))
    slices = tuple(w.random_slice(size) for size in w.node(index).shape)
    w.apply(f"slice<{slices}>", lambda x: x[slices], index, is_movement=True)


def write_dynamic_slice(w: Writer) -> None:
    """Starts stay in range: for others XLA's partitioner forgets to clamp (jaxlib 0.10.2)."""
    index = w.pick(has_rank(1, 2, 3))
    shape = w.node(index).shape
    sizes = [w.choose(range(1, size + 1)) for size in shape]
    starts = w.input((len(shape),), np.int32)
    num_starts = np.subtract(shape, sizes) + 1
    w.apply(
        f"dynamic_slice<{sizes}>",
        lambda x, s: lax.dynamic_slice(x, list(s % num_starts), sizes),
        index,
        starts,
        is_movement=True,
    )


def write_concatenate(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3, 4))
    dim, partner = w.choose(range(len(w.node(index).shape))), w.partner(index)
    w.apply(
        f"concatenate<{dim}>",
        lambda a, b: jnp.concatenate([a, b], axis=dim),
        index,
        partner,
        is_movement=True,
    )


def write_pad(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3))
    config = [
        (int(w.rng.integers(-1, 4)), int(w.rng.integers(0, 4)), w.choose([0, 0, 1]))
        for _ in w.node(index).shape
    ]
    w.apply(
        f"pad<{config}>", lambda x: lax.pad(x, x.dtype.type(1), config), index, is_movement=True
    )


def write_reverse(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3))
    dim = w.choose(range(len(w.node(index).shape)))
    w.apply(f"reverse<{dim}>", lambda x: jnp.flip(x, axis=dim), index, is_movement=True)


def write_gather(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3))
    shape = w.node(index).shape
    dim = w.choose(range(len(shape)))
    if w.choose([True, False]):
        where = w.indices(shape[dim], tuple(w.choose([2, 3, 8]) for _ in range(w.choose([1, 2]))))
        w.apply(
            f"take<{dim}>", lambda x, i: jnp.take(x, i, axis=dim), index, where, is_movement=True
        )
    else:
        where = w.indices(shape[dim], (*shape[:dim], w.choose([1, 3, 8]), *shape[dim + 1 :]))
        w.apply(
            f"take_along_axis<{dim}>",
            lambda x, i: jnp.take_along_axis(x, i, axis=dim),
            index,
            where,
            is_movement=True,
        )


def write_scatter(w: Writer) -> None:
    index = w.pick(has_rank(1, 2, 3))
    shape, dtype = w.node(index).shape, w.node(index).dtype
    num_updates = w.choose([1, 3, 8, 16])
    where = w.indices(shape[0], (num_updates,))
    updates = w.input((num_updates, *shape[1:]), dtype)
    update = w.choose(["add", "max"])
    w.apply(
        f"scatter<{update}>",
        lambda x, i, u: getattr(x.at[i], update)(u),
        index,
        where,
        updates,
        is_movement=update == "max",
    )


def write_loop(w: Writer) -> None:
    """A counted loop whose body mixes the carried value with a loop-invariant one."""
    index = w.pick(is_float)
    partner = w.partner(index)
    w.apply(
        "loop",
        lambda x, y: lax.fori_loop(0, 3, lambda i, x: jnp.tanh(x + y), x),
        index,
        partner,
    )


WRITERS: dict[str, Callable[[Writer], None]] = {
    name.removeprefix("write_"): writer
    for name, writer in list(globals().items())
    if name.startswith("write_")
}

_FREQUENT = ("elementwise", "binary", "dot", "reduce")


def random_program(seed: int) -> Program:
    """A program of 1 to 3 first inputs, 3 to 12 operations and at least one result."""
    w = Writer(seed)
    for _ in range(w.choose([1, 2, 3])):
        w.random_input()
    writers = [*WRITERS.values(), *(WRITERS[name] for name in _FREQUENT for _ in range(2))]
    for _ in range(w.choose(range(3, 13))):
        with contextlib.suppress(NothingSuitableError):
            w.choose(writers)(w)
    nodes = w.program.nodes
    used = {i for node in nodes for i in node.operands}
    sinks = [i for i in range(len(nodes)) if i not in used]
    w.program.outputs = [*sinks, *(i for i in range(len(nodes)) if w.rng.random() < 0.1)]
    return w.program
