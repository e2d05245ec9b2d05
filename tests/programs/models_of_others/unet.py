"""A U-Net in plain JAX that removes noise from images: skip connections across the whole network.

Down by convolutions of stride 2, up by transposed convolutions and by repetition, GroupNorm between
(no statistics of the batch). What the way down computes last, the way up reads first.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from alpa_mlir.models.training import init_state, make_train_step
from alpa_mlir.models.workload import Workload

from programs.models_of_others import optimizer

IMAGE_SIZE = 8
COLORS = 3
WIDTHS = (8, 16, 32)  # channels by level; each level halves height and width
NUM_GROUPS = 4
BATCH_SIZE = 16
LAYOUT = ("NHWC", "HWIO", "NHWC")


def init(key: jax.Array) -> Any:
    keys = iter(jax.random.split(key, 4 * len(WIDTHS) + 2))
    levels = list(itertools.pairwise(WIDTHS))
    return {
        "first": init_block(next(keys), COLORS, WIDTHS[0]),
        "down": [init_block(next(keys), narrow, wide) for narrow, wide in levels],
        "middle": init_block(next(keys), WIDTHS[-1], WIDTHS[-1]),
        "up": [
            {
                "widen": init_kernel(next(keys), 2, wide, narrow),
                "block": init_block(next(keys), 2 * narrow, narrow),
            }
            for narrow, wide in levels
        ],
        "last": init_kernel(next(keys), 3, WIDTHS[0], COLORS),
    }


def init_kernel(key: jax.Array, size: int, inputs: int, outputs: int) -> jax.Array:
    shape = (size, size, inputs, outputs)
    return jax.random.normal(key, shape) * (2 / (size * size * inputs)) ** 0.5


def init_block(key: jax.Array, inputs: int, outputs: int) -> Any:
    return {
        "kernel": init_kernel(key, 3, inputs, outputs),
        "scale": jnp.ones(outputs),
        "bias": jnp.zeros(outputs),
    }


def convolve(kernel: jax.Array, x: jax.Array, stride: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", None, None, LAYOUT)


def block(params: Any, x: jax.Array, stride: int = 1) -> jax.Array:
    x = group_norm(convolve(params["kernel"], x, stride))
    return jax.nn.silu(x * params["scale"] + params["bias"])


def group_norm(x: jax.Array) -> jax.Array:
    grouped = x.reshape(*x.shape[:3], NUM_GROUPS, -1)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = jnp.square(grouped - mean).mean((1, 2, 4), keepdims=True)
    return ((grouped - mean) * jax.lax.rsqrt(variance + 1e-5)).reshape(x.shape)


def widen(kernel: jax.Array, x: jax.Array, repeats: int) -> jax.Array:
    """Twice the height and width, by a transposed convolution or by repetition."""
    if not repeats:
        return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)
    return convolve(kernel, jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2))


def apply(params: Any, x: jax.Array) -> jax.Array:
    x = block(params["first"], x)
    skipped = []
    for down in params["down"]:
        skipped.append(x)
        x = block(down, x, stride=2)
    x = x + block(params["middle"], x)
    for level in reversed(range(len(skipped))):
        up = params["up"][level]
        x = widen(up["widen"], x, repeats=level == 0)
        x = block(up["block"], jnp.concatenate([x, skipped[level]], axis=-1))
    return convolve(params["last"], x)


def loss_fn(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    return jnp.mean(jnp.square(apply(params, batch["noisy"]) - batch["noise"]))


def example_batch(key: jax.Array) -> Any:
    image_key, noise_key = jax.random.split(key)
    shape = (BATCH_SIZE, IMAGE_SIZE, IMAGE_SIZE, COLORS)
    noise = jax.random.normal(noise_key, shape)
    return {"noisy": jax.random.uniform(image_key, shape) + 0.5 * noise, "noise": noise}


def workload() -> Workload:
    tx = optimizer()
    return Workload(
        "unet",
        make_train_step(loss_fn, tx),
        lambda key: init_state(init(key), tx),
        example_batch,
    )
