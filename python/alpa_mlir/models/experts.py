"""What mixtures of experts share; each model says how a token finds its experts.

Within a group of tokens an expert has so many places. Dispatch and combination are einsums with a
tensor that says which token is at which place, which is what lets a partitioner turn them into
all-to-alls.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def expert_probabilities(router: jax.Array, groups: jax.Array) -> jax.Array:
    """`(groups, tokens, experts)` of tokens `(groups, tokens, hidden)`, in float32."""
    scores = jnp.einsum("gsh,he->gse", groups.astype(jnp.float32), router)
    return jax.nn.softmax(scores)


def at_places(weights: jax.Array, places: jax.Array, capacity: int) -> jax.Array:
    """`(groups, tokens, experts, capacity)`: the weight of a token at its place of an expert.

    Args:
      weights: `(groups, tokens, experts)`, zero where a token does not go.
      places: of the same shape, counted from 0; there is none from the capacity on.
    """
    return weights[..., None] * jax.nn.one_hot(places.astype(jnp.int32), capacity)


def imbalance(load: jax.Array, probabilities: jax.Array) -> jax.Array:
    """The auxiliary loss (GShard, algorithm 1), which is 1 when the load is even.

    Args:
      load: the part of a group's choices that fall on an expert, `(groups, experts)`.
      probabilities: `(groups, tokens, experts)`.
    """
    importance = probabilities.mean(axis=1)
    return probabilities.shape[-1] * (load * importance).sum(-1).mean()


def through_experts(
    groups: jax.Array, combine: jax.Array, experts: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Tokens `(groups, tokens, hidden)` to their places, through the experts, and back by weight.

    Args:
      combine: `(groups, tokens, experts, capacity)`, as `at_places` makes it.
      experts: of what is at the places, `(experts, groups, capacity, hidden)`.
    """
    dispatch = (combine > 0).astype(groups.dtype)
    outcome = experts(jnp.einsum("gsec,gsh->egch", dispatch, groups))
    return jnp.einsum("gsec,egch->gsh", combine.astype(groups.dtype), outcome)
