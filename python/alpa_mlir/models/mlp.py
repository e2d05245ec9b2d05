"""A multi-layer perceptron with biases and ReLU, trained on mean squared error.

The smallest model in which data, column and row parallelism can all be right, depending on the
batch size and the width: Alpa's own tests use it, and so do ours.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

Params = list[dict[str, jax.Array]]
Batch = dict[str, jax.Array]


@dataclass(frozen=True)
class Config:
    num_layers: int = 6
    hidden_size: int = 256  # of the input and the output, too
    has_bias: bool = True
    dtype: Any = jnp.float32


SIZES: dict[str, Config] = {
    "debug": Config(num_layers=3, hidden_size=32),
    "alpa-test": Config(num_layers=6, hidden_size=256),
    "deep": Config(num_layers=96, hidden_size=2048),
}


def init(key: jax.Array, config: Config) -> Params:
    return [_init_layer(k, config) for k in jax.random.split(key, config.num_layers)]


def _init_layer(key: jax.Array, config: Config) -> dict[str, jax.Array]:
    size = config.hidden_size
    layer = {"kernel": jax.random.normal(key, (size, size), config.dtype) * (2 / size) ** 0.5}
    if config.has_bias:
        layer["bias"] = jnp.zeros(size, config.dtype)
    return layer


def apply(params: Params, x: jax.Array) -> jax.Array:
    """Maps `(batch, hidden)` to `(batch, hidden)`."""
    for index, layer in enumerate(params):
        x = x @ layer["kernel"]
        if "bias" in layer:
            x = x + layer["bias"]
        if index < len(params) - 1:
            x = jax.nn.relu(x)
    return x


def loss_fn(params: Params, batch: Batch, config: Config) -> jax.Array:
    prediction = apply(params, batch["x"].astype(config.dtype))
    return jnp.mean((prediction - batch["y"]) ** 2)


def example_batch(key: jax.Array, config: Config, batch_size: int) -> Batch:
    x_key, y_key = jax.random.split(key)
    shape = (batch_size, config.hidden_size)
    return {
        "x": jax.random.normal(x_key, shape, config.dtype),
        "y": jax.random.normal(y_key, shape, config.dtype),
    }
