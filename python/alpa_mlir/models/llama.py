"""A decoder of today: RMS norm, rotary positions, grouped-query attention, gated feed-forward.

Sizes are those of Llama 3 (The Llama 3 Herd of Models, 2024, table 3). Heads are told apart by two
dims, groups that share a key and a value, and the queries of a group, so that either can be split.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir.models.tokens import Batch, Params, causal_weights, normal
from alpa_mlir.models.tokens import example_batch as example_batch
from alpa_mlir.models.training import mean_cross_entropy


@dataclass(frozen=True)
class Config:
    hidden_size: int
    num_layers: int
    num_heads: int
    inner_size: int  # of the feed-forward
    num_groups: int = 8  # of heads, each with one key and one value
    sequence_length: int = 8192
    vocabulary_size: int = 128256
    rotary_base: float = 500000.0
    recomputes_layers: bool = True  # in the backward pass
    dtype: Any = jnp.bfloat16  # of activations and products; parameters are always float32


SIZES: dict[str, Config] = {
    "debug": Config(
        hidden_size=64,
        num_layers=2,
        num_heads=8,
        inner_size=128,
        num_groups=4,
        sequence_length=32,
        vocabulary_size=128,
        recomputes_layers=False,
        dtype=jnp.float32,
    ),
    "8B": Config(4096, 32, 32, 14336),
    "70B": Config(8192, 80, 64, 28672),
    "405B": Config(16384, 126, 128, 53248),
}


def init(key: jax.Array, config: Config) -> Params:
    token_key, layer_key, head_key = jax.random.split(key, 3)
    layer_keys = jax.random.split(layer_key, config.num_layers)
    return {
        "tokens": normal(token_key, (config.vocabulary_size, config.hidden_size)),
        "layers": [_init_layer(k, config) for k in layer_keys],
        "norm": jnp.ones(config.hidden_size),
        "head": normal(head_key, (config.hidden_size, config.vocabulary_size)),
    }


def _init_layer(key: jax.Array, config: Config) -> Params:
    attention_key, feed_forward_key = jax.random.split(key)
    return {
        "attention_norm": jnp.ones(config.hidden_size),
        "attention": init_attention(
            attention_key, config.hidden_size, config.num_heads, config.num_groups
        ),
        "feed_forward_norm": jnp.ones(config.hidden_size),
        "feed_forward": init_feed_forward(feed_forward_key, config.hidden_size, config.inner_size),
    }


def init_attention(key: jax.Array, hidden_size: int, num_heads: int, num_groups: int) -> Params:
    keys = jax.random.split(key, 4)
    size, per_group = hidden_size // num_heads, num_heads // num_groups
    return {
        "query": normal(keys[0], (hidden_size, num_groups, per_group, size)),
        "key": normal(keys[1], (hidden_size, num_groups, size)),
        "value": normal(keys[2], (hidden_size, num_groups, size)),
        "output": normal(keys[3], (num_groups, per_group, size, hidden_size)),
    }


def init_feed_forward(key: jax.Array, hidden_size: int, inner_size: int) -> Params:
    keys = jax.random.split(key, 3)
    return {
        "gate": normal(keys[0], (hidden_size, inner_size)),
        "input": normal(keys[1], (hidden_size, inner_size)),
        "output": normal(keys[2], (inner_size, hidden_size)),
    }


def rms_norm(scale: jax.Array, x: jax.Array) -> jax.Array:
    """Divides the last dim by its root mean square (Zhang and Sennrich, 2019), in float32."""
    wide = x.astype(jnp.float32)
    mean_square = jnp.square(wide).mean(-1, keepdims=True)
    return (wide * jax.lax.rsqrt(mean_square + 1e-5) * scale).astype(x.dtype)


def rotate(x: jax.Array, base: float) -> jax.Array:
    """Turns pairs of the last dim of `(batch, sequence, ..., head)` by angles that grow with the
    position (RoFormer, 2021): products of a query and a key then depend on their distance alone.
    The first half of the dim is paired with the second.
    """
    half = x.shape[-1] // 2
    frequencies = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = jnp.arange(x.shape[1], dtype=jnp.float32)[:, None] * frequencies
    angles = angles.reshape(x.shape[1], *(1,) * (x.ndim - 3), half)
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attention(params: Params, x: jax.Array, rotary_base: float) -> jax.Array:
    """Causal self-attention on `(batch, sequence, hidden)`; a group's queries share its key."""
    dtype = x.dtype
    query = jnp.einsum("bsh,hgrd->bsgrd", x, params["query"].astype(dtype))
    key = jnp.einsum("bsh,hgd->bsgd", x, params["key"].astype(dtype))
    value = jnp.einsum("bsh,hgd->bsgd", x, params["value"].astype(dtype))
    query, key = rotate(query, rotary_base), rotate(key, rotary_base)
    scores = jnp.einsum("bqgrd,bkgd->bgrqk", query, key) * query.shape[-1] ** -0.5
    mixed = jnp.einsum("bgrqk,bkgd->bqgrd", causal_weights(scores), value)
    return jnp.einsum("bsgrd,grdh->bsh", mixed, params["output"].astype(dtype))


def feed_forward(params: Params, x: jax.Array) -> jax.Array:
    """SwiGLU (Shazeer, 2020)."""
    dtype = x.dtype
    gate = jax.nn.silu(x @ params["gate"].astype(dtype))
    return (gate * (x @ params["input"].astype(dtype))) @ params["output"].astype(dtype)


def apply(params: Params, tokens: jax.Array, config: Config) -> jax.Array:
    """Logits `(batch, sequence, vocabulary)` for tokens `(batch, sequence)`."""

    def layer(params: Params, x: jax.Array) -> jax.Array:
        normed = rms_norm(params["attention_norm"], x)
        x = x + attention(params["attention"], normed, config.rotary_base)
        return x + feed_forward(params["feed_forward"], rms_norm(params["feed_forward_norm"], x))

    run = jax.checkpoint(layer) if config.recomputes_layers else layer
    x = params["tokens"][tokens].astype(config.dtype)
    for layer_params in params["layers"]:
        x = run(layer_params, x)
    return rms_norm(params["norm"], x) @ params["head"].astype(config.dtype)


def loss_fn(params: Params, batch: Batch, config: Config) -> jax.Array:
    return mean_cross_entropy(apply(params, batch["tokens"], config), batch["targets"])


def step_flops(config: Config, batch_size: int) -> float:
    """FLOPs of one training step, three passes, recomputation not counted: two for each weight of a
    product and token, and those of attention, of which the mask needs half but none leaves it out.
    """
    c = config
    groups = 1 + c.num_groups / c.num_heads  # queries and output, keys and values
    weights = c.num_layers * (2 * groups * c.hidden_size**2 + 3 * c.hidden_size * c.inner_size)
    weights += c.hidden_size * c.vocabulary_size
    scores = 2 * c.num_layers * c.sequence_length * c.hidden_size
    return 3 * 2 * (weights + scores) * batch_size * c.sequence_length
