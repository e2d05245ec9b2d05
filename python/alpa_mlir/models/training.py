"""One training step for every model: gradient, optimizer, new state.

The step is what any JAX user would write; nothing in it knows that it will be parallelised. The
optimizer is optax's or anything else with the same two methods, so optax is not imported here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

PyTree = Any


class Optimizer(Protocol):
    """The part of `optax.GradientTransformation` that a step uses."""

    def init(self, params: PyTree, /) -> PyTree: ...

    def update(
        self, updates: PyTree, state: PyTree, params: PyTree | None = None, /
    ) -> tuple[PyTree, PyTree]: ...


class TrainState(NamedTuple):
    """What a step carries to the next one."""

    params: PyTree
    optimizer_state: PyTree
    statistics: PyTree = ()  # what the forward pass itself updates: batch norm's running averages


TrainStep = Callable[[TrainState, PyTree], tuple[TrainState, jax.Array]]


def init_state(params: PyTree, optimizer: Optimizer, statistics: PyTree = ()) -> TrainState:
    return TrainState(params, optimizer.init(params), statistics)


def make_train_step(
    loss_fn: Callable[..., Any], optimizer: Optimizer, has_statistics: bool = False
) -> TrainStep:
    """Returns `step(state, batch) -> (new state, loss)`.

    `loss_fn(params, batch)` returns a scalar; with `has_statistics` it is
    `loss_fn(params, batch, statistics)` and returns the scalar and the new statistics.
    """

    def loss_and_statistics(
        params: PyTree, batch: PyTree, statistics: PyTree
    ) -> tuple[jax.Array, PyTree]:
        if has_statistics:
            return loss_fn(params, batch, statistics)
        return loss_fn(params, batch), statistics

    def train_step(state: TrainState, batch: PyTree) -> tuple[TrainState, jax.Array]:
        gradient_fn = jax.value_and_grad(loss_and_statistics, has_aux=True)
        (loss, statistics), gradients = gradient_fn(state.params, batch, state.statistics)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, state.params)
        params = jax.tree.map(_add_update, state.params, updates)
        return TrainState(params, optimizer_state, statistics), loss

    return train_step


def _add_update(param: jax.Array, update: jax.Array) -> jax.Array:
    return param + update.astype(param.dtype)


def mean_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean of -log softmax(logits)[label] for logits `(..., C)` and integer labels `(...)`."""
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    picked = jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)
    return -picked.mean()
