"""What models of tokens share: first values of parameters, causal attention, batches."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp

Params = dict[str, Any]
Batch = dict[str, jax.Array]


class TokenConfig(Protocol):
    """The part of a model's `Config` that says what its tokens are."""

    @property
    def sequence_length(self) -> int: ...

    @property
    def vocabulary_size(self) -> int: ...


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """First values of a parameter, as in GPT-2."""
    return 0.02 * jax.random.normal(key, shape)


def causal_weights(scores: jax.Array) -> jax.Array:
    """Softmax of `(..., queries, keys)` over the keys up to the query's own position, in float32
    whatever the dtype of the scores, which the weights have again."""
    causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    wide = jnp.where(causal, scores.astype(jnp.float32), -1e9)
    return jax.nn.softmax(wide).astype(scores.dtype)


def example_batch(key: jax.Array, config: TokenConfig, batch_size: int) -> Batch:
    """Random tokens; each position's target is the token after it."""
    shape = (batch_size, config.sequence_length + 1)
    tokens = jax.random.randint(key, shape, 0, config.vocabulary_size)
    return {"tokens": tokens[:, :-1], "targets": tokens[:, 1:]}
