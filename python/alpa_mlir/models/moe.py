"""A mixture-of-experts transformer after GShard (Lepikhin et al., ICLR'21), every second layer.

Each token goes to its two best experts; within a group of tokens an expert takes no more than its
capacity, and what overflows passes by on the residual stream. The ladder is the one of Alpa's
evaluation, whose feed-forward layers are eight times as wide as the model.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir.models.experts import at_places, expert_probabilities, imbalance, through_experts
from alpa_mlir.models.gpt import attention, init_attention, init_layer_norm, layer_norm
from alpa_mlir.models.tokens import Batch, Params, normal
from alpa_mlir.models.tokens import example_batch as example_batch
from alpa_mlir.models.training import mean_cross_entropy


@dataclass(frozen=True)
class Config:
    hidden_size: int
    num_layers: int
    num_experts: int
    num_heads: int = 16
    sequence_length: int = 1024
    vocabulary_size: int = 32000
    group_size: int = 2048  # tokens that compete for the same places; a batch has whole groups
    widening: int = 8
    capacity_factor: float = 1.0  # 1: every token finds both places if routing is even
    balance_weight: float = 0.01  # of the auxiliary loss
    dtype: Any = jnp.float16  # of activations and products; parameters are always float32

    @property
    def capacity(self) -> int:
        """Places of one expert in one group: two per token, shared evenly."""
        return max(1, round(2 * self.group_size / self.num_experts * self.capacity_factor))


SIZES: dict[str, Config] = {
    "debug": Config(
        hidden_size=32,
        num_layers=2,
        num_experts=8,
        num_heads=8,
        sequence_length=16,
        vocabulary_size=64,
        group_size=16,
        widening=4,
        dtype=jnp.float32,
    ),
    "380M": Config(768, 8, 8),
    "690M": Config(768, 8, 16),
    "1.3B": Config(768, 16, 16),
    "2.4B": Config(1024, 16, 16),
    "10B": Config(1536, 16, 32),
    "27B": Config(2048, 16, 48),
    "70B": Config(2048, 32, 64),
}


def init(key: jax.Array, config: Config) -> Params:
    token_key, position_key, layer_key = jax.random.split(key, 3)
    layer_keys = jax.random.split(layer_key, config.num_layers)
    return {
        "tokens": normal(token_key, (config.vocabulary_size, config.hidden_size)),
        "positions": normal(position_key, (config.sequence_length, config.hidden_size)),
        "layers": [_init_layer(k, i, config) for i, k in enumerate(layer_keys)],
        "norm": init_layer_norm(config.hidden_size),
    }


def _init_layer(key: jax.Array, index: int, config: Config) -> Params:
    attention_key, gate_key, input_key, output_key = jax.random.split(key, 4)
    hidden, inner = config.hidden_size, config.widening * config.hidden_size
    layer: Params = {
        "attention_norm": init_layer_norm(hidden),
        "attention": init_attention(attention_key, hidden, config.num_heads),
        "feed_forward_norm": init_layer_norm(hidden),
    }
    if _is_routed(index):
        layer["gate"] = normal(gate_key, (hidden, config.num_experts))
        layer["input"] = normal(input_key, (config.num_experts, hidden, inner))
        layer["output"] = normal(output_key, (config.num_experts, inner, hidden))
    else:
        layer["input"] = normal(input_key, (hidden, inner))
        layer["output"] = normal(output_key, (inner, hidden))
    return layer


def _is_routed(layer_index: int) -> bool:
    return layer_index % 2 == 1


def route(probabilities: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Top-2 gating (GShard, algorithm 1) of `(groups, tokens, experts)` probabilities.

    Returns the weight of every token at every place, `(groups, tokens, experts, capacity)`, zero
    where the token is not, and the auxiliary loss, which is 1 when the load is even.
    """
    num_experts = probabilities.shape[-1]
    first = jax.nn.one_hot(probabilities.argmax(-1), num_experts)
    second = jax.nn.one_hot((probabilities * (1 - first)).argmax(-1), num_experts)

    balance_loss = imbalance(first.mean(axis=1), probabilities)

    # Second choices queue behind all first choices of the group.
    first_place = jnp.cumsum(first, axis=1) - first
    second_place = jnp.cumsum(second, axis=1) - second + first.sum(axis=1, keepdims=True)

    first_weight = (probabilities * first).sum(-1, keepdims=True)
    second_weight = (probabilities * second).sum(-1, keepdims=True)
    total = first_weight + second_weight

    def weight_at_places(choice: jax.Array, place: jax.Array, weight: jax.Array) -> jax.Array:
        return at_places(choice * (place < capacity) * weight / total, place, capacity)

    combine = weight_at_places(first, first_place, first_weight)
    return combine + weight_at_places(second, second_place, second_weight), balance_loss


def _routed_feed_forward(
    params: Params, x: jax.Array, config: Config
) -> tuple[jax.Array, jax.Array]:
    """The mixture on `(batch, sequence, hidden)`, and its auxiliary loss."""
    groups = x.reshape(-1, config.group_size, config.hidden_size)
    combine, balance_loss = route(expert_probabilities(params["gate"], groups), config.capacity)

    def experts(places: jax.Array) -> jax.Array:
        inner = jax.nn.gelu(jnp.einsum("egch,ehi->egci", places, params["input"].astype(x.dtype)))
        return jnp.einsum("egci,eih->egch", inner, params["output"].astype(x.dtype))

    return through_experts(groups, combine.astype(x.dtype), experts).reshape(x.shape), balance_loss


def _feed_forward(params: Params, x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x @ params["input"].astype(x.dtype)) @ params["output"].astype(x.dtype)


def apply(params: Params, tokens: jax.Array, config: Config) -> tuple[jax.Array, jax.Array]:
    """Logits `(batch, sequence, vocabulary)` and the auxiliary loss, averaged over mixtures."""
    x = params["tokens"][tokens] + params["positions"][: tokens.shape[1]]
    x = x.astype(config.dtype)
    balance_losses: list[jax.Array] = []
    for index, layer in enumerate(params["layers"]):
        x = x + attention(layer["attention"], layer_norm(layer["attention_norm"], x))
        inner = layer_norm(layer["feed_forward_norm"], x)
        if _is_routed(index):
            update, balance_loss = _routed_feed_forward(layer, inner, config)
            balance_losses.append(balance_loss)
        else:
            update = _feed_forward(layer, inner)
        x = x + update
    x = layer_norm(params["norm"], x)
    logits = jnp.einsum("bsh,vh->bsv", x, params["tokens"].astype(config.dtype))
    if not balance_losses:  # of one layer, which has no mixture
        return logits, jnp.zeros(())
    return logits, jnp.mean(jnp.stack(balance_losses))


def loss_fn(params: Params, batch: Batch, config: Config) -> jax.Array:
    logits, balance_loss = apply(params, batch["tokens"], config)
    return mean_cross_entropy(logits, batch["targets"]) + config.balance_weight * balance_loss
