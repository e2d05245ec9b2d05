"""Programs of a few ops, at least one for each kind of op that has strategies to choose from."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from oracles.strategy_conformance import OpCase

CASES: dict[str, OpCase] = {}


def floats(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def integers(*shape: int, below: int = 4) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, below, size=shape).astype(np.int32)


def case(op: str, *arguments: np.ndarray) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function under its name; `op` is the op whose strategies are tried."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__
        CASES[name] = OpCase(name, op, function, arguments)
        return function

    return add


# --- Products ---


@case("stablehlo.dot_general", floats(8, 16), floats(16, 24))
def product(a: Array, b: Array) -> Array:
    return a @ b


@case("stablehlo.dot_general", floats(8, 4, 16), floats(8, 16, 12))
def batched_product(a: Array, b: Array) -> Array:
    return jnp.einsum("bij,bjk->bik", a, b)


@case("stablehlo.dot_general", floats(8, 4, 16), floats(4, 16, 12))
def product_of_several_contractions(a: Array, b: Array) -> Array:
    return jnp.einsum("bij,ijk->bk", a, b)


@case("stablehlo.dot_general", floats(8, 16), floats(16))
def matrix_vector_product(a: Array, b: Array) -> Array:
    return a @ b


@case("stablehlo.dot_general", floats(8, 16), floats(8, 16))
def full_contraction(a: Array, b: Array) -> Array:
    return jnp.vdot(a, b)


@case(
    "stablehlo.dot_general", floats(8, 16, dtype=jnp.bfloat16), floats(16, 24, dtype=jnp.bfloat16)
)
def product_bf16(a: Array, b: Array) -> Array:
    return a @ b


@case("stablehlo.dot_general", floats(4, 8, 16), floats(4, 8, 16))
def attention_scores(q: Array, k: Array) -> Array:
    return jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", q, k))


# --- Reductions ---


@case("stablehlo.reduce", floats(8, 16, 4))
def reduce_sum(x: Array) -> Array:
    return x.sum((0, 2))


@case("stablehlo.reduce", floats(8, 16))
def reduce_max(x: Array) -> Array:
    return x.max(1)


@case("stablehlo.reduce", floats(8, 16))
def reduce_all(x: Array) -> Array:
    return (x > 0).all(0)


@case("stablehlo.reduce", floats(8, 16))
def argmax(x: Array) -> Array:
    return jnp.argmax(x, 1)


@case("stablehlo.reduce_window", floats(8, 16))
def cumulative_sum(x: Array) -> Array:
    return jnp.cumsum(x, 0)


# --- Shapes ---


@case("stablehlo.broadcast_in_dim", floats(8, 1, 4))
def broadcast(x: Array) -> Array:
    return jnp.sin(jnp.broadcast_to(x[:, None], (8, 16, 8, 4)))


@case("stablehlo.reshape", floats(8, 16))
def split_dim(x: Array) -> Array:
    return x.reshape(8, 4, 4)


@case("stablehlo.reshape", floats(8, 4, 4))
def merge_dims(x: Array) -> Array:
    return jnp.sin(x).reshape(8, 16)


@case("stablehlo.reshape", floats(8, 6))
def regroup_dims(x: Array) -> Array:
    return jnp.sin(x).reshape(4, 12)


@case("stablehlo.transpose", floats(8, 16, 4))
def transpose(x: Array) -> Array:
    return x.transpose(2, 0, 1)


@case("stablehlo.slice", floats(16, 8))
def slice_both(x: Array) -> Array:
    return x[4:12, ::2]


@case("stablehlo.concatenate", floats(8, 16), floats(8, 8))
def concatenate(x: Array, y: Array) -> Array:
    return jnp.concatenate([x, y], 1)


@case("stablehlo.pad", floats(8, 16), floats())
def pad(x: Array, value: Array) -> Array:
    return lax.pad(x, value, ((2, 2, 0), (0, 0, 0)))


@case("stablehlo.pad", floats(8, 16), floats())
def pad_interior(x: Array, value: Array) -> Array:
    return lax.pad(x, value, ((0, 1, 1), (0, 0, 0)))


@case("stablehlo.reverse", floats(8, 16))
def reverse(x: Array) -> Array:
    return x[::-1]


# --- Indexing ---


@case("stablehlo.gather", floats(16, 8), integers(4, 8, below=16))
def embedding(table: Array, tokens: Array) -> Array:
    return table[tokens]


@case("stablehlo.gather", floats(8, 16), integers(8, below=16))
def take_along_axis(x: Array, index: Array) -> Array:
    return jnp.take_along_axis(x, index[:, None], 1)


@case("stablehlo.scatter", floats(16, 8), integers(4, 8, below=16), floats(4, 8, 8))
def embedding_gradient(table: Array, tokens: Array, weights: Array) -> Array:
    return jax.grad(lambda table: (table[tokens] * weights).sum())(table)


@case("stablehlo.scatter", floats(8, 16), integers(8, below=16), floats(8, 1))
def take_along_axis_gradient(x: Array, index: Array, weights: Array) -> Array:
    return jax.grad(lambda x: (jnp.take_along_axis(x, index[:, None], 1) * weights).sum())(x)


@case("stablehlo.scatter", floats(16, 8), integers(4, below=16), floats(4, 8))
def scatter_add(x: Array, index: Array, updates: Array) -> Array:
    return x.at[index].add(updates)


@case("stablehlo.scatter", floats(16, 8), floats(8))
def scatter_set(x: Array, update: Array) -> Array:
    return x.at[3].set(update)


@case("stablehlo.dynamic_slice", floats(8, 16), integers(1))
def dynamic_slice(x: Array, start: Array) -> Array:
    return lax.dynamic_slice(x, (start[0], 0), (4, 16))


@case("stablehlo.dynamic_update_slice", floats(8, 16), floats(4, 16), integers(1))
def dynamic_update_slice(x: Array, update: Array, start: Array) -> Array:
    return lax.dynamic_update_slice(x, update, (start[0], 0))


@case("stablehlo.dynamic_update_slice", floats(8, 16), floats(1, 16), integers(1))
def dynamic_update_row(x: Array, row: Array, start: Array) -> Array:
    return lax.dynamic_update_slice(x, row, (start[0], 0))


# --- Convolutions ---


def _convolve(
    x: Array, kernel: Array, strides: int = 1, groups: int = 1, padding: str = "SAME"
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(3, 3, 4, 8))
def convolution(x: Array, kernel: Array) -> Array:
    return _convolve(x, kernel)


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(3, 3, 4, 8))
def convolution_strided(x: Array, kernel: Array) -> Array:
    return _convolve(x, kernel, strides=2)


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(1, 1, 4, 8))
def convolution_pointwise(x: Array, kernel: Array) -> Array:
    return _convolve(x, kernel)


@case("stablehlo.convolution", floats(8, 8, 8, 8), floats(3, 3, 2, 16))
def convolution_grouped(x: Array, kernel: Array) -> Array:
    return _convolve(x, kernel, groups=4)


@case("stablehlo.convolution", floats(8, 8, 8, 8), floats(3, 3, 1, 8))
def convolution_depthwise(x: Array, kernel: Array) -> Array:
    return _convolve(x, kernel, groups=8)


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(3, 3, 4, 8), floats(8, 8, 8, 8))
def convolution_input_gradient(x: Array, kernel: Array, weights: Array) -> Array:
    return jax.grad(lambda x: (_convolve(x, kernel) * weights).sum())(x)


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(3, 3, 4, 8), floats(8, 8, 8, 8))
def convolution_kernel_gradient(x: Array, kernel: Array, weights: Array) -> Array:
    return jax.grad(lambda kernel: (_convolve(x, kernel) * weights).sum())(kernel)


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(3, 3, 4, 8), floats(8, 4, 4, 8))
def convolution_strided_input_gradient(x: Array, kernel: Array, weights: Array) -> Array:
    return jax.grad(lambda x: (_convolve(x, kernel, strides=2) * weights).sum())(x)


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(3, 3, 4, 8), floats(8, 4, 4, 8))
def convolution_strided_kernel_gradient(x: Array, kernel: Array, weights: Array) -> Array:
    return jax.grad(lambda kernel: (_convolve(x, kernel, strides=2) * weights).sum())(kernel)


@case("stablehlo.convolution", floats(8, 8, 8, 8), floats(3, 3, 2, 16), floats(8, 8, 8, 16))
def convolution_grouped_kernel_gradient(x: Array, kernel: Array, weights: Array) -> Array:
    return jax.grad(lambda kernel: (_convolve(x, kernel, groups=4) * weights).sum())(kernel)


@case("stablehlo.convolution", floats(8, 8, 8, 4), floats(1, 1, 4, 8), floats(8, 8, 8, 8))
def convolution_pointwise_kernel_gradient(x: Array, kernel: Array, weights: Array) -> Array:
    return jax.grad(lambda kernel: (_convolve(x, kernel) * weights).sum())(kernel)


@case("stablehlo.convolution", floats(8, 8, 8, 8), floats(3, 3, 1, 8), floats(8, 8, 8, 8))
def convolution_depthwise_gradients(x: Array, kernel: Array, weights: Array) -> tuple[Array, Array]:
    return jax.grad(lambda x, kernel: (_convolve(x, kernel, groups=8) * weights).sum(), (0, 1))(
        x, kernel
    )


# --- Windows ---


@case("stablehlo.reduce_window", floats(8, 8, 8, 4))
def max_pool(x: Array) -> Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


@case("stablehlo.select_and_scatter", floats(8, 8, 8, 4), floats(8, 4, 4, 4))
def max_pool_gradient(x: Array, weights: Array) -> Array:
    return jax.grad(lambda x: (max_pool(x) * weights).sum())(x)


# --- Order, random numbers, linear algebra ---


@case("stablehlo.sort", floats(8, 16))
def sort(x: Array) -> Array:
    return jnp.sort(x, 1)


@case("stablehlo.sort", floats(8, 16))
def argsort(x: Array) -> Array:
    return jnp.argsort(x, 0)


@case("chlo.top_k", floats(8, 16))
def top_k(x: Array) -> Any:
    return lax.top_k(x, 3)


@case("stablehlo.rng_bit_generator", integers(4).astype(np.uint32))
def random_bits(key: Array) -> Any:
    return lax.rng_bit_generator(key, (8, 16))


@case("stablehlo.custom_call", floats(8, 4, 4))
def cholesky(x: Array) -> Array:
    return lax.linalg.cholesky(x @ x.transpose(0, 2, 1) + 8 * np.eye(4, dtype=np.float32))


@case("stablehlo.custom_call", floats(8, 4, 4), floats(8, 4, 4))
def triangular_solve(a: Array, b: Array) -> Array:
    return lax.linalg.triangular_solve(a + 8 * np.eye(4, dtype=np.float32), b, lower=True)


@case("stablehlo.fft", floats(8, 16).astype(np.complex64))
def fft(x: Array) -> Array:
    return jnp.fft.fft(x)


# --- Elementwise ---


@case("stablehlo.select", floats(8, 16), floats(8, 16))
def select(x: Array, y: Array) -> Array:
    return jnp.where(x > y, x, y)


@case("stablehlo.add", floats(8, 16))
def iota(x: Array) -> Array:
    return x + lax.broadcasted_iota(jnp.float32, (8, 16), 1)


@case("stablehlo.clamp", floats(8, 16), floats())
def clamp(x: Array, low: Array) -> Array:
    return lax.clamp(low, x, np.float32(1))


@case("chlo.erf", floats(8, 16))
def erf(x: Array) -> Array:
    return lax.erf(x)


@case("stablehlo.convert", floats(8, 16))
def convert(x: Array) -> Array:
    return x.astype(jnp.bfloat16)


@case("stablehlo.optimization_barrier", floats(8, 16), floats(16))
def barrier(x: Array, y: Array) -> tuple[Array, Array]:
    return lax.optimization_barrier((x, y))


# --- Loops and branches ---


@case("stablehlo.dynamic_update_slice", floats(8, 16), floats(4, 16, 16))
def scan_gradient(x: Array, weights: Array) -> Array:
    return jax.grad(lambda w: lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0].sum())(
        weights
    )


@case("stablehlo.dot_general", floats(8, 16), floats(3, 16, 16))
def scan(x: Array, weights: Array) -> Any:
    return lax.scan(lambda x, w: (jnp.tanh(x @ w), x.sum()), x, weights)


@case("carried 1 of stablehlo.while", floats(8, 16))
def loop(x: Array) -> Array:
    return lax.fori_loop(0, 3, lambda i, x: jnp.sin(x) * 2, x)


@case("stablehlo.dot_general", floats(8, 16), floats(16, 16))
def while_data_dependent(x: Array, w: Array) -> Array:
    return lax.while_loop(lambda x: jnp.abs(x).max() > 0.1, lambda x: jnp.tanh(x @ w) / 8, x)


@case("stablehlo.dot_general", integers(), floats(8, 16), floats(16, 16))
def branches(index: Array, x: Array, w: Array) -> Array:
    return lax.cond(index > 1, lambda x: x @ w, lambda x: x, x)
