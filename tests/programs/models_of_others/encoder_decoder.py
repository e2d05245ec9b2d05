"""A translation transformer in plain JAX: an encoder, and a decoder that attends to what it left.

One table embeds source and target and is the output projection as well, so its gradient has three
parts, made at both ends of the network.
"""

from typing import Any

import jax
import jax.numpy as jnp
from alpa_mlir.models.training import init_state, make_train_step, mean_cross_entropy
from alpa_mlir.models.workload import Workload

from programs.models_of_others import optimizer

VOCABULARY_SIZE = 128
HIDDEN_SIZE = 32
NUM_HEADS = 8
NUM_LAYERS = 2
SOURCE_LENGTH, TARGET_LENGTH = 16, 12
BATCH_SIZE = 16


def init(key: jax.Array) -> Any:
    table_key, encoder_key, decoder_key = jax.random.split(key, 3)
    return {
        "table": normal(table_key, VOCABULARY_SIZE, HIDDEN_SIZE),
        "encoder": [
            {"self": init_attention(k), "feed_forward": init_feed_forward(k)}
            for k in jax.random.split(encoder_key, NUM_LAYERS)
        ],
        "decoder": [
            {
                "self": init_attention(k),
                "cross": init_attention(jax.random.fold_in(k, 1)),
                "feed_forward": init_feed_forward(k),
            }
            for k in jax.random.split(decoder_key, NUM_LAYERS)
        ],
        "encoder_scale": jnp.ones(HIDDEN_SIZE),
        "decoder_scale": jnp.ones(HIDDEN_SIZE),
    }


def normal(key: jax.Array, *shape: int) -> jax.Array:
    return jax.random.normal(key, shape) * shape[0] ** -0.5


def init_attention(key: jax.Array) -> Any:
    query_key, key_key, value_key, output_key = jax.random.split(key, 4)
    head_size = HIDDEN_SIZE // NUM_HEADS
    return {
        "scale": jnp.ones(HIDDEN_SIZE),
        "query": normal(query_key, HIDDEN_SIZE, NUM_HEADS, head_size),
        "key": normal(key_key, HIDDEN_SIZE, NUM_HEADS, head_size),
        "value": normal(value_key, HIDDEN_SIZE, NUM_HEADS, head_size),
        "output": normal(output_key, HIDDEN_SIZE, HIDDEN_SIZE),
    }


def init_feed_forward(key: jax.Array) -> Any:
    input_key, output_key = jax.random.split(key)
    return {
        "scale": jnp.ones(HIDDEN_SIZE),
        "input": normal(input_key, HIDDEN_SIZE, 4 * HIDDEN_SIZE),
        "output": normal(output_key, 4 * HIDDEN_SIZE, HIDDEN_SIZE),
    }


def rms_norm(scale: jax.Array, x: jax.Array) -> jax.Array:
    return scale * x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-5)


def attend(
    params: Any, x: jax.Array, memory: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    query = jnp.einsum("bqh,hnd->bqnd", x, params["query"])
    key = jnp.einsum("bkh,hnd->bknd", memory, params["key"])
    value = jnp.einsum("bkh,hnd->bknd", memory, params["value"])
    scores = jnp.einsum("bqnd,bknd->bnqk", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = jnp.where(mask, scores, -1e9)
    mixed = jnp.einsum("bnqk,bknd->bqnd", jax.nn.softmax(scores), value)
    return mixed.reshape(x.shape) @ params["output"]


def self_attention(params: Any, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    normalised = rms_norm(params["scale"], x)
    return x + attend(params, normalised, normalised, mask)


def feed_forward(params: Any, x: jax.Array) -> jax.Array:
    inner = jax.nn.gelu(rms_norm(params["scale"], x) @ params["input"])
    return x + inner @ params["output"]


def embed(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Token embeddings with sinusoidal positions."""
    positions = jnp.arange(tokens.shape[1])[:, None]
    rates = 1e4 ** -(jnp.arange(HIDDEN_SIZE // 2) / (HIDDEN_SIZE // 2))
    angles = positions * rates
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return table[tokens] * HIDDEN_SIZE**0.5 + waves


def encode(params: Any, tokens: jax.Array) -> jax.Array:
    x = embed(params["table"], tokens)
    for layer in params["encoder"]:
        x = feed_forward(layer["feed_forward"], self_attention(layer["self"], x))
    return rms_norm(params["encoder_scale"], x)


def decode(params: Any, tokens: jax.Array, memory: jax.Array) -> jax.Array:
    causal = jnp.tril(jnp.ones((tokens.shape[1], tokens.shape[1]), bool))
    x = embed(params["table"], tokens)
    for layer in params["decoder"]:
        x = self_attention(layer["self"], x, causal)
        cross = layer["cross"]
        x = x + attend(cross, rms_norm(cross["scale"], x), memory)
        x = feed_forward(layer["feed_forward"], x)
    return rms_norm(params["decoder_scale"], x) @ params["table"].T


def loss_fn(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    memory = encode(params, batch["source"])
    logits = decode(params, batch["target"][:, :-1], memory)
    return mean_cross_entropy(logits, batch["target"][:, 1:])


def example_batch(key: jax.Array) -> Any:
    source_key, target_key = jax.random.split(key)

    def tokens(key: jax.Array, length: int) -> jax.Array:
        return jax.random.randint(key, (BATCH_SIZE, length), 0, VOCABULARY_SIZE)

    return {
        "source": tokens(source_key, SOURCE_LENGTH),
        "target": tokens(target_key, TARGET_LENGTH + 1),
    }


def workload() -> Workload:
    tx = optimizer()
    return Workload(
        "encoder_decoder",
        make_train_step(loss_fn, tx),
        lambda key: init_state(init(key), tx),
        example_batch,
    )
