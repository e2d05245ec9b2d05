"""Random chains of slices and updates whose starts may lie outside; the same for the same seed.

XLA clamps a start such that the slice fits. Slices of slices, of which each is clamped for itself,
are what partitioned programs got wrong (openxla/xla#49122, openxla/xla#49118).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

DIM_SIZES = [4, 8, 8, 12, 16, 24, 32]


@dataclass(eq=False)  # hashable by identity, as a function is
class SliceProgram:
    """Callable with a tensor, one of the same shape to take updates from, and the starts."""

    shape: tuple[int, ...]
    num_starts: int
    steps: list[Callable[[Any, Any, Any], Any]]

    def __call__(self, x: Any, update: Any, starts: Any) -> tuple[Any, ...]:
        results = []
        for step in self.steps:
            x = step(x, update, starts)
            results.append(x)
        return results[-1], sum(jnp.sum(r * r) for r in results)

    def example_arguments(self, seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        x, update = (rng.uniform(-2, 2, self.shape).astype(np.float32) for _ in range(2))
        return [x, update, rng.integers(-12, 40, self.num_starts, dtype=np.int32)]


def random_slices(seed: int) -> SliceProgram:
    rng = np.random.default_rng(seed)
    shape = tuple(int(d) for d in rng.choice(DIM_SIZES, rng.integers(1, 4)))
    program = SliceProgram(shape, 0, [])
    while len(program.steps) < 4 or rng.random() < 0.5:
        first = program.num_starts
        kind = rng.integers(5)
        if kind <= 1:
            sizes = tuple(int(rng.integers((d + 1) // 2, d + 1)) for d in shape)
            program.steps.append(_slice(sizes, first))
            shape = sizes
        elif kind == 2:
            sizes = tuple(int(rng.integers(1, d + 1)) for d in shape)
            program.steps.append(_update(sizes, first))
        elif kind == 3:
            program.steps.append(_scan(int(rng.integers(1, shape[0] + 1)), int(rng.integers(1, 4))))
        else:
            program.steps.append(lambda x, _update, _starts: jnp.sin(x) + x)
        program.num_starts += len(shape)
    return program


def _slice(sizes: tuple[int, ...], first: int) -> Callable[..., Any]:
    def step(x: Any, update: Any, starts: Any) -> Any:
        return lax.dynamic_slice(x, [starts[first + i] for i in range(x.ndim)], sizes)

    return step


def _update(sizes: tuple[int, ...], first: int) -> Callable[..., Any]:
    def step(x: Any, update: Any, starts: Any) -> Any:
        part = lax.slice(update, [0] * x.ndim, sizes)
        return lax.dynamic_update_slice(x, part, [starts[first + i] for i in range(x.ndim)])

    return step


def _scan(size: int, length: int) -> Callable[..., Any]:
    """Parts of dim 0 by a counter that may go beyond its end."""

    def step(x: Any, update: Any, starts: Any) -> Any:
        def add(total: Any, i: Any) -> Any:
            return total + lax.dynamic_slice_in_dim(jnp.cos(x), i * size, size), None

        total, _ = lax.scan(add, jnp.zeros((size, *x.shape[1:]), x.dtype), jnp.arange(length))
        return lax.dynamic_update_slice_in_dim(x, total, starts[0], 0)

    return step
