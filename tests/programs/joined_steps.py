"""Training steps whose examples leave the batch otherwise than by a sum from nothing.

`EXACT` may be split in any number of microbatches, `WHOLE` not: its examples read each other.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from programs.small_programs import Program

B, D = 8, 6
EXACT: dict[str, Program] = {}
WHOLE: dict[str, Program] = {}


def _arguments() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    state = {
        "a": rng.normal(size=(D, D)).astype(np.float32) / 2,
        "b": rng.normal(size=(D, D)).astype(np.float32) / 2,
        "table": rng.normal(size=(12, D)).astype(np.float32),
        "counts": np.arange(12, dtype=np.int32),
        "largest": np.float32(0.25),
    }
    batch = {
        "x": rng.normal(size=(B, D)).astype(np.float32),
        "id": np.array([3, 1, 1, 7, 3, 11, 0, 3], np.int32),
    }
    return state, batch


def _add(programs: dict[str, Program]) -> Callable[..., Any]:
    def add(step: Callable[..., Any]) -> Callable[..., Any]:
        programs[step.__name__] = Program(step, _arguments())
        return step

    return add


def _losses(p: Any, x: Any) -> Any:
    return ((jnp.tanh(x @ p["a"]) @ p["b"]) ** 2).mean(-1)


def _sgd(state: Any, batch: Any, loss_fn: Any = None) -> Any:
    """The next state, and what the losses of the examples are."""

    def mean(p: Any) -> Any:
        losses = (loss_fn or (lambda p: _losses(p, batch["x"])))(p)
        return losses.mean(), losses

    weights = {name: state[name] for name in "ab"}
    (_, losses), grads = jax.value_and_grad(mean, has_aux=True)(weights)
    return {**state, **jax.tree.map(lambda w, g: w - 0.1 * g, weights, grads)}, losses


# --- Sums that start from the state ---


@_add(EXACT)
def counts_of_ids(state: Any, batch: Any) -> Any:
    state, losses = _sgd(state, batch)
    return {**state, "counts": state["counts"].at[batch["id"]].add(1)}, losses.mean()


@_add(EXACT)
def losses_added_to_a_row_of_the_table(state: Any, batch: Any) -> Any:
    state, losses = _sgd(state, batch)
    table = state["table"].at[batch["id"], 2].add(losses)
    return {**state, "table": table * 0.9}, losses.mean()


@_add(EXACT)
def largest_loss_so_far(state: Any, batch: Any) -> Any:
    state, losses = _sgd(state, batch)
    return {**state, "largest": jnp.max(losses, initial=state["largest"])}, losses.sum()


# --- What only the results or the update read ---


@_add(EXACT)
def loss_of_the_third_example(state: Any, batch: Any) -> Any:
    state, losses = _sgd(state, batch)
    return state, (losses[2], losses.mean())


@_add(EXACT)
def hardest_examples(state: Any, batch: Any) -> Any:
    state, losses = _sgd(state, batch)
    return state, jax.lax.top_k(losses, 3)


@_add(EXACT)
def input_of_the_hardest_example(state: Any, batch: Any) -> Any:
    """One op that joins examples reads another."""
    state, losses = _sgd(state, batch)
    return state, batch["x"][jnp.argmax(losses)]


@_add(EXACT)
def median_loss(state: Any, batch: Any) -> Any:
    state, losses = _sgd(state, batch)
    return {**state, "largest": jnp.median(losses)}, losses.mean()


@_add(EXACT)
def rows_written_by_id(state: Any, batch: Any) -> Any:
    """A bank of the last hidden values."""
    hidden = jnp.tanh(batch["x"] @ state["a"])
    bank = state["table"].at[jnp.arange(B) + 2].set(hidden)
    state, losses = _sgd(state, batch)
    return {**state, "table": bank}, losses.mean()


@_add(EXACT)
def complex_weights(state: Any, batch: Any) -> Any:
    weights = state["a"] * (1 + 0.5j)

    def loss(w: Any) -> Any:
        return jnp.mean(jnp.abs(batch["x"] @ w) ** 2)

    value, grad = jax.value_and_grad(loss)(weights)
    return {**state, "b": jnp.real(weights - 0.1 * jnp.conj(grad))}, (value, grad)


@_add(EXACT)
def weights_of_classes(state: Any, batch: Any) -> Any:
    """An op that a statistic of the data and the forward pass read."""
    counts = jnp.zeros(12).at[batch["id"]].add(1.0)
    weight = (1 / jnp.maximum(counts, 1))[batch["id"]]
    return _sgd(state, batch, lambda p: weight / weight.sum() * _losses(p, batch["x"]))


# --- Examples that read each other ---


@_add(WHOLE)
def normalized_over_the_batch(state: Any, batch: Any) -> Any:
    def losses(p: Any) -> Any:
        h = batch["x"] @ p["a"]
        h = (h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-3)
        return (jnp.tanh(h) @ p["b"]).mean(-1)

    return _sgd(state, batch, losses)


@_add(WHOLE)
def all_pairs(state: Any, batch: Any) -> Any:
    def losses(p: Any) -> Any:
        h = jnp.tanh(batch["x"] @ p["a"])
        return jax.nn.logsumexp(h @ p["b"] @ h.T, axis=1)

    return _sgd(state, batch, losses)


@_add(WHOLE)
def sorted_examples(state: Any, batch: Any) -> Any:
    return _sgd(state, batch, lambda p: jnp.cumsum(jnp.sort(_losses(p, batch["x"]))))


@_add(WHOLE)
def decided_for_all(state: Any, batch: Any) -> Any:
    def losses(p: Any) -> Any:
        h = _losses(p, batch["x"])
        return jax.lax.cond((h > 0.1).any(), jnp.sin, lambda h: 2 * h, h)

    return _sgd(state, batch, losses)
