"""A sample of what tests/slow does in full: sharding changes no result."""

from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.options import Method
from oracles.random_sharding import (
    assert_same_by_solver_and_dice,
    assert_slices_unchanged_by_sharding,
    assert_unchanged_by_sharding,
)
from oracles.training_equality import assert_trains_as_on_one_device, case


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("mlp_odd", alpa.ShardParallel(mesh_shape=(2, 2, 2))),
        ("gpt", alpa.ShardParallel(mesh_shape=(2, 4))),
        ("llama", alpa.ShardParallel(mesh_shape=(2, 4))),
        ("fine_moe", alpa.ShardParallel(mesh_shape=(2, 4))),
        ("flax_linen", alpa.Zero3Parallel(mesh_shape=(8,))),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_training_equals_one_device(name: str, method: Method) -> None:
    step = alpa.parallelize(case(name).train_step, method)
    assert_trains_as_on_one_device(name, step)


# What XLA gets wrong, so that we do not offer it: 124 scatters a single update to a split dim, 425
# splits the channels within the groups of a depthwise convolution.
@pytest.mark.parametrize("seed", [*range(12), 124, 425])
def test_random_program_is_unchanged_by_sharding(seed: int) -> None:
    assert_unchanged_by_sharding(seed)


@pytest.mark.parametrize("seed", range(8))
def test_slices_with_starts_out_of_range_are_unchanged_by_sharding(seed: int) -> None:
    assert_slices_unchanged_by_sharding(seed)


def filtered_by_frequency(weights: jax.Array, x: jax.Array, f: jax.Array) -> Any:
    def loss(weights: jax.Array) -> jax.Array:
        h = jnp.tanh(x @ weights)
        h = h + jnp.fft.ifft(jnp.fft.fft(h) * f).real
        return jnp.mean(jnp.tanh(h @ weights) ** 2)

    return jax.value_and_grad(loss)(weights)


@pytest.mark.parametrize("seed", range(2, 7))
def test_fft_between_resharded_values_compiles(seed: int) -> None:
    """XLA's runtime for CPUs refuses the layout that its compiler would choose for the FFT."""
    rng = np.random.default_rng(seed)
    shapes = [(16, 16), (8, 16), (16,)]
    arguments = [rng.normal(size=shape).astype(np.float32) / 4 for shape in shapes]
    expected = jax.jit(filtered_by_frequency)(*arguments)
    assert_same_by_solver_and_dice(filtered_by_frequency, arguments, expected, seed)
