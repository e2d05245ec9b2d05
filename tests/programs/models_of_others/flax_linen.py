"""A text classifier in flax.linen: embedding, attention blocks, dropout, `TrainState`."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from alpa_mlir.models.workload import Workload
from flax.training import train_state

from programs.models_of_others import optimizer


class Block(nn.Module):
    num_heads: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        y = nn.LayerNorm()(x)
        # No biases: the gradient of the keys' bias is zero, so its sign would be rounding's choice.
        y = nn.MultiHeadDotProductAttention(num_heads=self.num_heads, use_bias=False)(y, y)
        x = x + nn.Dropout(self.dropout_rate, deterministic=not train)(y)
        y = nn.LayerNorm()(x)
        y = nn.Dense(4 * x.shape[-1])(y)
        y = nn.gelu(y)
        y = nn.Dense(x.shape[-1])(y)
        return x + nn.Dropout(self.dropout_rate, deterministic=not train)(y)


class TextClassifier(nn.Module):
    vocabulary_size: int = 128
    hidden_size: int = 32
    num_layers: int = 2
    num_heads: int = 8
    num_classes: int = 8
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        x = nn.Embed(self.vocabulary_size, self.hidden_size)(tokens)
        for _ in range(self.num_layers):
            x = Block(self.num_heads, self.dropout_rate)(x, train=train)
        return nn.Dense(self.num_classes)(nn.LayerNorm()(x).mean(axis=1))


class TrainState(train_state.TrainState):
    key: jax.Array


model = TextClassifier()
tx = optimizer()


def create_train_state(key: jax.Array) -> Any:
    params_key, dropout_key = jax.random.split(key)
    params = model.init(params_key, jnp.zeros((1, 16), jnp.int32), train=False)["params"]
    return TrainState.create(apply_fn=model.apply, params=params, tx=tx, key=dropout_key)


def train_step(state: Any, batch: dict[str, jax.Array]) -> Any:
    dropout_key = jax.random.fold_in(state.key, state.step)

    def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
        logits = state.apply_fn(
            {"params": params}, batch["tokens"], train=True, rngs={"dropout": dropout_key}
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
        return losses.mean(), logits

    (loss, logits), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    state = state.apply_gradients(grads=grads)
    accuracy = jnp.mean(jnp.argmax(logits, -1) == batch["labels"])
    return state, {"loss": loss, "accuracy": accuracy}


def example_batch(key: jax.Array) -> dict[str, jax.Array]:
    token_key, label_key = jax.random.split(key)
    return {
        "tokens": jax.random.randint(token_key, (16, 16), 0, 128),
        "labels": jax.random.randint(label_key, (16,), 0, 8),
    }


def workload() -> Workload:
    return Workload("flax_linen", train_step, create_train_state, example_batch)
