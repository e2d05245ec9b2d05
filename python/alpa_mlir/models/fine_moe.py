"""A mixture of many small experts beside a few that see every token (DeepSeekMoE, Dai et al. 2024).

A decoder as in `llama`, whose feed-forwards but the first are mixtures: each token goes to its best
experts, as many as the size says, and always through the shared ones, which are one gated
feed-forward of their common width. As in `moe`, tokens of a group compete for the places of an
expert, and what overflows passes by on the residual stream.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir.models.experts import at_places, expert_probabilities, imbalance, through_experts
from alpa_mlir.models.llama import (
    attention,
    feed_forward,
    init_attention,
    init_feed_forward,
    rms_norm,
)
from alpa_mlir.models.tokens import Batch, Params, normal
from alpa_mlir.models.tokens import example_batch as example_batch
from alpa_mlir.models.training import mean_cross_entropy


@dataclass(frozen=True)
class Config:
    hidden_size: int
    num_layers: int
    num_heads: int
    num_experts: int
    num_chosen: int  # experts of a token
    num_shared: int  # experts that see every token
    expert_size: int  # the inner size of one
    dense_size: int  # of the feed-forward of the first layer
    num_groups: int  # of heads that share a key and a value
    sequence_length: int = 4096
    vocabulary_size: int = 102400
    group_size: int = 1024  # tokens that compete for the same places; a batch has whole groups
    capacity_factor: float = 1.0  # 1: every token finds its places if routing is even
    balance_weight: float = 0.001  # of the auxiliary loss
    rotary_base: float = 10000.0
    dtype: Any = jnp.bfloat16  # of activations and products; parameters are always float32

    @property
    def capacity(self) -> int:
        """Places of one expert in one group."""
        places = self.num_chosen * self.group_size / self.num_experts * self.capacity_factor
        return max(1, round(places))


SIZES: dict[str, Config] = {
    "debug": Config(
        hidden_size=32,
        num_layers=2,
        num_heads=8,
        num_experts=8,
        num_chosen=3,
        num_shared=2,
        expert_size=16,
        dense_size=64,
        num_groups=8,
        sequence_length=16,
        vocabulary_size=64,
        group_size=16,
        dtype=jnp.float32,
    ),
    # DeepSeekMoE 16B; its table of sizes is in section 5 of the paper.
    "16B": Config(
        hidden_size=2048,
        num_layers=28,
        num_heads=16,
        num_experts=64,
        num_chosen=6,
        num_shared=2,
        expert_size=1408,
        dense_size=10944,
        num_groups=16,
    ),
}


def init(key: jax.Array, config: Config) -> Params:
    token_key, layer_key, head_key = jax.random.split(key, 3)
    layer_keys = jax.random.split(layer_key, config.num_layers)
    return {
        "tokens": normal(token_key, (config.vocabulary_size, config.hidden_size)),
        "layers": [_init_layer(k, i, config) for i, k in enumerate(layer_keys)],
        "norm": jnp.ones(config.hidden_size),
        "head": normal(head_key, (config.hidden_size, config.vocabulary_size)),
    }


def _init_layer(key: jax.Array, index: int, config: Config) -> Params:
    attention_key, feed_forward_key = jax.random.split(key)
    hidden = config.hidden_size
    layer: Params = {
        "attention_norm": jnp.ones(hidden),
        "attention": init_attention(attention_key, hidden, config.num_heads, config.num_groups),
        "feed_forward_norm": jnp.ones(hidden),
    }
    if _is_mixture(index):
        layer["mixture"] = _init_mixture(feed_forward_key, config)
    else:
        layer["feed_forward"] = init_feed_forward(feed_forward_key, hidden, config.dense_size)
    return layer


def _init_mixture(key: jax.Array, config: Config) -> Params:
    keys = jax.random.split(key, 5)
    hidden, experts, inner = config.hidden_size, config.num_experts, config.expert_size
    return {
        "router": normal(keys[0], (hidden, experts)),
        "gate": normal(keys[1], (experts, hidden, inner)),
        "input": normal(keys[2], (experts, hidden, inner)),
        "output": normal(keys[3], (experts, inner, hidden)),
        "shared": init_feed_forward(keys[4], hidden, config.num_shared * inner),
    }


def _is_mixture(layer_index: int) -> bool:
    return layer_index > 0


def route(probabilities: jax.Array, num_chosen: int, capacity: int) -> tuple[jax.Array, jax.Array]:
    """The best experts of each token, of `(groups, tokens, experts)` probabilities.

    Returns the weight of every token at every place, `(groups, tokens, experts, capacity)`, zero
    where the token is not, and the auxiliary loss, which is 1 when the load is even. A token's
    weights add up to 1 where it finds all its places.
    """
    num_experts = probabilities.shape[-1]
    left, taken = probabilities, jnp.zeros_like(probabilities[:, :1])
    chosen: list[tuple[jax.Array, jax.Array]] = []  # expert by token, and place there
    for _ in range(num_chosen):  # later choices queue behind earlier ones of the group
        choice = jax.nn.one_hot(left.argmax(-1), num_experts)
        chosen.append((choice, jnp.cumsum(choice, axis=1) - choice + taken))
        taken = taken + choice.sum(axis=1, keepdims=True)
        left = left * (1 - choice)
    total = sum((choice for choice, _ in chosen), jnp.zeros_like(probabilities))
    weights = probabilities / (probabilities * total).sum(-1, keepdims=True)
    combine = sum(
        (
            at_places(choice * (place < capacity) * weights, place, capacity)
            for choice, place in chosen
        ),
        jnp.zeros((*probabilities.shape, capacity)),
    )
    return combine, imbalance(total.mean(axis=1) / num_chosen, probabilities)


def _mixture(params: Params, x: jax.Array, config: Config) -> tuple[jax.Array, jax.Array]:
    """Chosen and shared experts on `(batch, sequence, hidden)`, and the auxiliary loss."""
    dtype = x.dtype
    groups = x.reshape(-1, config.group_size, config.hidden_size)
    probabilities = expert_probabilities(params["router"], groups)
    combine, balance_loss = route(probabilities, config.num_chosen, config.capacity)

    def experts(places: jax.Array) -> jax.Array:
        gate = jax.nn.silu(jnp.einsum("egch,ehi->egci", places, params["gate"].astype(dtype)))
        inner = gate * jnp.einsum("egch,ehi->egci", places, params["input"].astype(dtype))
        return jnp.einsum("egci,eih->egch", inner, params["output"].astype(dtype))

    mixed = through_experts(groups, combine, experts).reshape(x.shape)
    return mixed + feed_forward(params["shared"], x), balance_loss


def apply(params: Params, tokens: jax.Array, config: Config) -> tuple[jax.Array, jax.Array]:
    """Logits `(batch, sequence, vocabulary)` and the auxiliary loss, averaged over mixtures."""
    x = params["tokens"][tokens].astype(config.dtype)
    balance_losses: list[jax.Array] = []
    for index, layer in enumerate(params["layers"]):
        normed = rms_norm(layer["attention_norm"], x)
        x = x + attention(layer["attention"], normed, config.rotary_base)
        normed = rms_norm(layer["feed_forward_norm"], x)
        if _is_mixture(index):
            update, balance_loss = _mixture(layer["mixture"], normed, config)
            balance_losses.append(balance_loss)
        else:
            update = feed_forward(layer["feed_forward"], normed)
        x = x + update
    logits = rms_norm(params["norm"], x) @ params["head"].astype(config.dtype)
    if not balance_losses:  # of one layer, which has no mixture
        return logits, jnp.zeros(())
    return logits, jnp.mean(jnp.stack(balance_losses))


def loss_fn(params: Params, batch: Batch, config: Config) -> jax.Array:
    logits, balance_loss = apply(params, batch["tokens"], config)
    return mean_cross_entropy(logits, batch["targets"]) + config.balance_weight * balance_loss
