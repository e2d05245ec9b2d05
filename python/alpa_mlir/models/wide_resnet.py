"""Wide-ResNet: bottleneck ResNet-50 or -101 whose inner convolutions are `width` times wider.

Images are `(batch, height, width, channel)`. Batch norm normalises with the statistics of the batch
and keeps running averages for inference, so the loss function takes and returns them. The ladder is
the one of Alpa's evaluation.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir.models.training import mean_cross_entropy

Params = dict[str, Any]
Batch = dict[str, jax.Array]
Statistics = dict[str, dict[str, jax.Array]]

RESNET_50 = (3, 4, 6, 3)
RESNET_101 = (3, 4, 23, 3)
_EXPANSION = 4  # channels of a block's output per base channel
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Config:
    base_channels: int
    width: int
    blocks: tuple[int, ...] = RESNET_50  # per group; each group but the first halves the image
    num_classes: int = 1024
    image_size: int = 224
    dtype: Any = jnp.float32


SIZES: dict[str, Config] = {
    "debug": Config(base_channels=8, width=2, blocks=(1, 1), num_classes=16, image_size=16),
    "250M": Config(160, 2),
    "500M": Config(224, 2),
    "1B": Config(320, 2),
    "2B": Config(448, 2),
    "4B": Config(640, 2),
    "6.8B": Config(320, 16),
    "13B": Config(320, 16, RESNET_101),
}


def _block_shapes(config: Config) -> list[tuple[str, int, int, int]]:
    """Name, input channels, base channels and stride of every block, first to last."""
    shapes: list[tuple[str, int, int, int]] = []
    inputs = config.base_channels
    for group, num_blocks in enumerate(config.blocks):
        channels = config.base_channels * 2**group
        for block in range(num_blocks):
            stride = 2 if group > 0 and block == 0 else 1
            shapes.append((f"block_{group}_{block}", inputs, channels, stride))
            inputs = channels * _EXPANSION
    return shapes


def init(key: jax.Array, config: Config) -> Params:
    shapes = _block_shapes(config)
    stem_key, head_key, *block_keys = jax.random.split(key, 2 + len(shapes))
    outputs = config.base_channels * 2 ** (len(config.blocks) - 1) * _EXPANSION
    head = jax.random.normal(head_key, (outputs, config.num_classes), config.dtype)
    params: Params = {
        "stem": _init_convolution(stem_key, 7, 3, config.base_channels, config),
        "stem_norm": _init_norm(config.base_channels, config),
        "head": {"kernel": head * outputs**-0.5, "bias": jnp.zeros(config.num_classes, head.dtype)},
    }
    for block_key, (name, inputs, channels, stride) in zip(block_keys, shapes, strict=True):
        params[name] = _init_block(block_key, inputs, channels, stride, config)
    return params


def _init_block(key: jax.Array, inputs: int, channels: int, stride: int, config: Config) -> Params:
    keys = jax.random.split(key, 4)
    wide, outputs = channels * config.width, channels * _EXPANSION
    block: Params = {
        "reduce": _init_convolution(keys[0], 1, inputs, channels, config),
        "reduce_norm": _init_norm(channels, config),
        "spatial": _init_convolution(keys[1], 3, channels, wide, config),
        "spatial_norm": _init_norm(wide, config),
        "expand": _init_convolution(keys[2], 1, wide, outputs, config),
        "expand_norm": _init_norm(outputs, config),
    }
    if stride != 1 or inputs != outputs:
        block["shortcut"] = _init_convolution(keys[3], 1, inputs, outputs, config)
        block["shortcut_norm"] = _init_norm(outputs, config)
    return block


def _init_convolution(
    key: jax.Array, size: int, inputs: int, outputs: int, config: Config
) -> jax.Array:
    scale = (2 / (size * size * inputs)) ** 0.5
    return scale * jax.random.normal(key, (size, size, inputs, outputs), config.dtype)


def _init_norm(channels: int, config: Config) -> Params:
    return {"scale": jnp.ones(channels, config.dtype), "bias": jnp.zeros(channels, config.dtype)}


def init_statistics(config: Config) -> Statistics:
    """Running mean 0 and variance 1 for every norm of the model, by its path."""
    params = jax.eval_shape(partial(init, config=config), jax.random.key(0))
    sizes = {"stem_norm": params["stem_norm"]["scale"].shape}
    for name, *_ in _block_shapes(config):
        norms = (part for part in params[name] if part.endswith("_norm"))
        sizes |= {f"{name}/{part}": params[name][part]["scale"].shape for part in norms}
    return {
        path: {"mean": jnp.zeros(shape, config.dtype), "variance": jnp.ones(shape, config.dtype)}
        for path, shape in sizes.items()
    }


def convolve(kernel: jax.Array, x: jax.Array, stride: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def batch_norm(
    params: Params, running: dict[str, jax.Array], x: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Normalises each channel over batch and image, and moves the running averages towards it.

    Both moments come from one pass over `x`, so that devices which share a batch meet once: the
    variance as the mean of squared differences would have to wait for the mean.
    """
    mean, mean_of_squares = x.mean(axis=(0, 1, 2)), jnp.square(x).mean(axis=(0, 1, 2))
    variance = jnp.maximum(mean_of_squares - jnp.square(mean), 0)
    normalised = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
    batch = jax.lax.stop_gradient({"mean": mean, "variance": variance})
    moved = {k: _MOMENTUM * running[k] + (1 - _MOMENTUM) * batch[k] for k in running}
    return normalised * params["scale"] + params["bias"], moved


def apply(
    params: Params, images: jax.Array, statistics: Statistics, config: Config
) -> tuple[jax.Array, Statistics]:
    """Logits `(batch, class)` and the new running statistics."""
    moved: Statistics = {}

    def normalise(path: str, norm: Params, x: jax.Array) -> jax.Array:
        y, moved[path] = batch_norm(norm, statistics[path], x)
        return y

    x = convolve(params["stem"], images.astype(config.dtype), stride=2)
    x = jax.nn.relu(normalise("stem_norm", params["stem_norm"], x))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    for name, _, _, stride in _block_shapes(config):
        block = params[name]
        y = convolve(block["reduce"], x)
        y = jax.nn.relu(normalise(f"{name}/reduce_norm", block["reduce_norm"], y))
        y = convolve(block["spatial"], y, stride)
        y = jax.nn.relu(normalise(f"{name}/spatial_norm", block["spatial_norm"], y))
        y = convolve(block["expand"], y)
        y = normalise(f"{name}/expand_norm", block["expand_norm"], y)
        if "shortcut" in block:
            x = convolve(block["shortcut"], x, stride)
            x = normalise(f"{name}/shortcut_norm", block["shortcut_norm"], x)
        x = jax.nn.relu(x + y)
    features = x.mean(axis=(1, 2))
    return features @ params["head"]["kernel"] + params["head"]["bias"], moved


def loss_fn(
    params: Params, batch: Batch, config: Config, statistics: Statistics
) -> tuple[jax.Array, Statistics]:
    logits, statistics = apply(params, batch["images"], statistics, config)
    return mean_cross_entropy(logits, batch["labels"]), statistics


def example_batch(key: jax.Array, config: Config, batch_size: int) -> Batch:
    image_key, label_key = jax.random.split(key)
    shape = (batch_size, config.image_size, config.image_size, 3)
    return {
        "images": jax.random.normal(image_key, shape, config.dtype),
        "labels": jax.random.randint(label_key, (batch_size,), 0, config.num_classes),
    }
