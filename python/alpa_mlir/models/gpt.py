"""GPT: a decoder-only transformer (pre-norm, GELU, learned positions), in three forms.

The forms compute the same function from the same random key. `unrolled` repeats the layer in the
program, `checkpointed` also recomputes each layer in the backward pass, `scanned` runs one layer in
a loop over stacked parameters. The ladder is the one of Alpa's evaluation (OSDI'22, table 3).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from alpa_mlir.models.tokens import Batch, Params, causal_weights, normal
from alpa_mlir.models.tokens import example_batch as example_batch
from alpa_mlir.models.training import mean_cross_entropy

Form = Literal["unrolled", "checkpointed", "scanned"]


@dataclass(frozen=True)
class Config:
    hidden_size: int
    num_layers: int
    num_heads: int
    sequence_length: int = 1024
    vocabulary_size: int = 51200
    form: Form = "unrolled"
    ties_embeddings: bool = True  # the output head is the token embedding, as in GPT-2
    dtype: Any = jnp.float16  # of activations and products; parameters are always float32


SIZES: dict[str, Config] = {
    "debug": Config(64, 2, 8, sequence_length=32, vocabulary_size=128, dtype=jnp.float32),
    "1M": Config(128, 5, 8, sequence_length=128, vocabulary_size=256, dtype=jnp.float32),
    "gpt2-medium": Config(1024, 24, 16, vocabulary_size=50304, dtype=jnp.float32),
    "350M": Config(1024, 24, 16, form="checkpointed"),
    "760M": Config(1536, 24, 16, form="checkpointed"),
    "1.3B": Config(2048, 24, 32, form="checkpointed"),
    "2.6B": Config(2560, 32, 32, form="checkpointed"),
    "6.7B": Config(4096, 32, 32, form="checkpointed"),
    "15B": Config(5120, 48, 40, form="checkpointed"),
    "39B": Config(8192, 48, 64, form="checkpointed"),
}


def init(key: jax.Array, config: Config) -> Params:
    """Parameters as a dict; `layers` is a list, or one stacked layer in the scanned form."""
    token_key, position_key, layer_key, head_key = jax.random.split(key, 4)
    layer_keys = jax.random.split(layer_key, config.num_layers)
    init_layer = partial(_init_layer, config=config)
    params: Params = {
        "tokens": normal(token_key, (config.vocabulary_size, config.hidden_size)),
        "positions": normal(position_key, (config.sequence_length, config.hidden_size)),
        "layers": (
            jax.vmap(init_layer)(layer_keys)
            if config.form == "scanned"
            else [init_layer(k) for k in layer_keys]
        ),
        "norm": init_layer_norm(config.hidden_size),
    }
    if not config.ties_embeddings:
        params["head"] = normal(head_key, (config.vocabulary_size, config.hidden_size))
    return params


def _init_layer(key: jax.Array, config: Config) -> Params:
    attention_key, feed_forward_key = jax.random.split(key)
    return {
        "attention_norm": init_layer_norm(config.hidden_size),
        "attention": init_attention(attention_key, config.hidden_size, config.num_heads),
        "feed_forward_norm": init_layer_norm(config.hidden_size),
        "feed_forward": init_feed_forward(feed_forward_key, config.hidden_size),
    }


def init_layer_norm(hidden_size: int) -> Params:
    return {"scale": jnp.ones(hidden_size), "bias": jnp.zeros(hidden_size)}


def init_attention(key: jax.Array, hidden_size: int, num_heads: int) -> Params:
    input_key, output_key = jax.random.split(key)
    head_size = hidden_size // num_heads
    return {
        "qkv": normal(input_key, (hidden_size, 3, num_heads, head_size)),
        "qkv_bias": jnp.zeros((3, num_heads, head_size)),
        "output": normal(output_key, (num_heads, head_size, hidden_size)),
        "output_bias": jnp.zeros(hidden_size),
    }


def init_feed_forward(key: jax.Array, hidden_size: int) -> Params:
    input_key, output_key = jax.random.split(key)
    return {
        "input": normal(input_key, (hidden_size, 4 * hidden_size)),
        "input_bias": jnp.zeros(4 * hidden_size),
        "output": normal(output_key, (4 * hidden_size, hidden_size)),
        "output_bias": jnp.zeros(hidden_size),
    }


def layer_norm(params: Params, x: jax.Array) -> jax.Array:
    """Normalises the last dim in float32, whatever the dtype of `x`."""
    wide = x.astype(jnp.float32)
    centred = wide - wide.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    normalised = centred * jax.lax.rsqrt(variance + 1e-5)
    return (normalised * params["scale"] + params["bias"]).astype(x.dtype)


def attention(params: Params, x: jax.Array) -> jax.Array:
    """Causal multi-head self-attention on `(batch, sequence, hidden)`."""
    dtype = x.dtype
    qkv = jnp.einsum("bsh,htnd->tbsnd", x, params["qkv"].astype(dtype))
    query, key, value = qkv + params["qkv_bias"].astype(dtype)[:, None, None]
    scores = jnp.einsum("bqnd,bknd->bnqk", query, key) * query.shape[-1] ** -0.5
    mixed = jnp.einsum("bnqk,bknd->bqnd", causal_weights(scores), value)
    output = jnp.einsum("bsnd,ndh->bsh", mixed, params["output"].astype(dtype))
    return output + params["output_bias"].astype(dtype)


def feed_forward(params: Params, x: jax.Array) -> jax.Array:
    dtype = x.dtype
    inner = jax.nn.gelu(x @ params["input"].astype(dtype) + params["input_bias"].astype(dtype))
    return inner @ params["output"].astype(dtype) + params["output_bias"].astype(dtype)


def _layer(params: Params, x: jax.Array) -> jax.Array:
    x = x + attention(params["attention"], layer_norm(params["attention_norm"], x))
    return x + feed_forward(params["feed_forward"], layer_norm(params["feed_forward_norm"], x))


def _apply_layers(layers: Any, x: jax.Array, form: Form) -> jax.Array:
    if form == "scanned":

        def body(x: jax.Array, layer_params: Params) -> tuple[jax.Array, None]:
            return _layer(layer_params, x), None

        return jax.lax.scan(body, x, layers)[0]
    layer = jax.checkpoint(_layer) if form == "checkpointed" else _layer
    for layer_params in layers:
        x = layer(layer_params, x)
    return x


def apply(params: Params, tokens: jax.Array, config: Config) -> jax.Array:
    """Logits `(batch, sequence, vocabulary)` for tokens `(batch, sequence)`."""
    x = params["tokens"][tokens] + params["positions"][: tokens.shape[1]]
    x = x.astype(config.dtype)
    x = layer_norm(params["norm"], _apply_layers(params["layers"], x, config.form))
    head = params["tokens"] if config.ties_embeddings else params["head"]
    return jnp.einsum("bsh,vh->bsv", x, head.astype(config.dtype))


def loss_fn(params: Params, batch: Batch, config: Config) -> jax.Array:
    return mean_cross_entropy(apply(params, batch["tokens"], config), batch["targets"])


def step_flops(config: Config, batch_size: int) -> float:
    """FLOPs of one training step as Alpa counts them, for the TFLOPS of its tables.

    24·(1 + 2 + r)·B·S·H²·L·(1 + S/6H) + 6·B·S·H·V, with r = 1 where layers are recomputed.
    """
    b, s, h = batch_size, config.sequence_length, config.hidden_size
    passes = 4 if config.form == "checkpointed" else 3
    layers = 24 * passes * b * s * h**2 * config.num_layers * (1 + s / (6 * h))
    return layers + 6 * b * s * h * config.vocabulary_size
