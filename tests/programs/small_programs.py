"""Small JAX programs, one for each kind of op or structure that a module may contain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

PROGRAMS: dict[str, "Program"] = {}


@dataclass(frozen=True)
class Program:
    """A function and its arguments; integer arguments stay below 4."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def floats(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


def integers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 4, size=shape).astype(np.int32)


def program(*arguments: np.ndarray) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[function.__name__] = Program(function, arguments)
        return function

    return add


@program(floats(8, 16), floats(4, 16, 16))
def scan(x: Array, weights: Array) -> Any:
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), x.sum()), x, weights)


@program(floats(8, 16), floats(4, 16, 16))
def scan_gradient(x: Array, weights: Array) -> Array:
    return jax.grad(lambda w: scan(x, w)[0].sum())(weights)


@program(floats(8, 16), floats(4, 16, 16))
def scan_checkpoint_gradient(x: Array, weights: Array) -> Array:
    layer = jax.checkpoint(lambda x, w: (jnp.sin(jnp.tanh(x @ w)), None))
    return jax.grad(lambda w: jax.lax.scan(layer, x, w)[0].sum())(weights)


@program(floats(8))
def nested_loops(x: Array) -> Array:
    def inner(i: Array, x: Array) -> Array:
        return x * 1.1 + i

    return jax.lax.fori_loop(0, 3, lambda i, x: jax.lax.fori_loop(0, 4, inner, x) - i, x)


@program(floats(8))
def while_data_dependent(x: Array) -> Array:
    return jax.lax.while_loop(lambda x: (x > 0.1).any(), lambda x: x / 2, x)


@program(floats(2, 8, 8, 4), floats(3, 3, 2, 8))
def convolution(x: Array, kernel: Array) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (2, 2),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=2,
    )


@program(floats(2, 8, 8, 4), floats(3, 3, 2, 8))
def convolution_gradient(x: Array, kernel: Array) -> tuple[Array, Array]:
    return jax.grad(lambda x, k: (convolution(x, k) ** 2).sum(), (0, 1))(x, kernel)


@program(floats(8, 16))
def dropout(x: Array) -> Array:
    keep = jax.random.bernoulli(jax.random.PRNGKey(3), 0.9, x.shape)
    return jnp.where(keep, x / 0.9, 0.0)


@program(floats(8, 16))
def sort(x: Array) -> Any:
    return jnp.sort(x, axis=0), jnp.argsort(x, axis=1)


@program(floats(8, 16))
def top_k(x: Array) -> Any:
    return jax.lax.top_k(x, 3)


@program(integers(1), floats(8))
def cond(index: Array, x: Array) -> Array:
    return jax.lax.switch(index[0], [jnp.sin, lambda x: jnp.sort(x) + 1, jnp.cumsum], x)


@program(floats(4, 8))
def fft(x: Array) -> Array:
    return jnp.fft.rfft(x)


@program(floats(8, 8))
def cholesky(x: Array) -> Array:
    return jnp.linalg.cholesky(x @ x.T + 8 * jnp.eye(8))


@program(floats(8, 8), floats(8, 3))
def solve(a: Array, b: Array) -> Array:
    return jnp.linalg.solve(a, b)


@program(floats(8, 4), integers(5), floats(5, 4))
def scatter(x: Array, indices: Array, updates: Array) -> Any:
    return x.at[indices].add(updates), x.at[indices[0]].set(updates[0])


@program(floats(8, 4), integers(5))
def gather(x: Array, indices: Array) -> Any:
    return jnp.take(x, indices, axis=0), x[indices, indices % 2]


@program(floats(8, 16), floats(16, 4))
def bfloat16(x: Array, w: Array) -> Array:
    return (x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)).astype(jnp.float32)


@program(floats(8, 16))
def float8(x: Array) -> Array:
    return x.astype(jnp.float8_e4m3fn).astype(jnp.float32)


@program(floats(8), floats(8))
def complex_numbers(x: Array, y: Array) -> Any:
    z = jax.lax.complex(x, y) * 2j
    return jnp.real(z * jnp.conj(z)), jnp.angle(z)


@program(floats(64))
def large_constant(x: Array) -> Array:
    table = jnp.asarray(floats(64, 64))
    return table @ x + table.T @ x


@program(floats(8))
def special_functions(x: Array) -> Any:
    x = jnp.abs(x) + 0.5
    return jax.lax.lgamma(x), jax.lax.erf(x), jax.lax.digamma(x), jnp.arcsinh(x), jnp.square(x)


@program(floats(8))
def checkpoint_gradient(x: Array) -> Array:
    return jax.grad(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)).sum()))(x)


@program(floats(8, 8))
def reduce_window(x: Array) -> Array:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 2), (2, 2), "VALID")


@program(floats(8, 8))
def max_pool_gradient(x: Array) -> Array:
    return jax.grad(lambda x: (reduce_window(x) ** 2).sum())(x)


@program(floats(8, 8))
def random_bits(x: Array) -> Any:
    state, bits = jax.lax.rng_bit_generator(jnp.arange(4, dtype=jnp.uint32), x.shape)
    return state, x + (bits % 7).astype(x.dtype)


@program(floats(8, 8))
def cumulative(x: Array) -> Any:
    return jnp.cumsum(x, 0), jnp.cumprod(x, 1), jax.lax.cummax(x)


@program(floats(8, 8), integers(1))
def dynamic_slices(x: Array, start: Array) -> Any:
    part = jax.lax.dynamic_slice(x, (start[0], 0), (2, 4))
    return part, jax.lax.dynamic_update_slice(x, part * 2, (0, start[0]))


@program(floats(8, 4), floats(2, 4, 6))
def ragged_dot(x: Array, w: Array) -> Array:
    return jax.lax.ragged_dot(x, w, jnp.asarray([3, 5], jnp.int32))


@program(floats(2, 3, 4), floats(4, 3, 5))
def einsum(a: Array, b: Array) -> Array:
    return jnp.einsum("bij,jik->bk", a, b)


@program(floats(2, 4, 16), floats(16, 48))
def attention_gradient(x: Array, w: Array) -> Any:
    def loss(w: Array) -> Array:
        q, k, v = jnp.split((x @ w).reshape(2, 4, 2, 24), 3, -1)
        weights = jax.nn.softmax(jnp.einsum("bsnd,btnd->bnst", q, k))
        return (jnp.einsum("bnst,btnd->bsnd", weights, v) ** 2).mean()

    return jax.value_and_grad(loss)(w)


@program(floats(8), floats(8))
def unused_and_passed_through(x: Array, y: Array) -> Any:
    return x, jnp.zeros(3), x


@program(floats(8))
def nested_calls(x: Array) -> Array:
    inner = jax.jit(lambda x: jnp.where(x > 0, x, 0.0))
    outer = jax.jit(lambda x: inner(x) + inner(-x))
    return outer(x) * outer(x + 1)


@program(floats(8))
def composite(x: Array) -> Array:
    return jax.lax.composite(lambda x: jnp.sin(x) + 1, "test.sin_plus_one")(x)


@program(floats(4, 8))
def layout_changes(x: Array) -> Any:
    return jnp.pad(x, 1), x[::-1], x[1:3, ::2], jnp.concatenate([x, x * 2]), x.T.reshape(2, 16)
