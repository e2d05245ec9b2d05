"""Calls that fail: the error arrives as it is, and no step has run twice."""

from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest

PIPELINE = alpa.PipelineParallel(
    num_stages=2, num_layers=2, num_microbatches=2, num_processes=0, cache_dir=None
)
METHODS = [alpa.ShardParallel(), PIPELINE]


def new_state() -> Any:
    return {"w": [np.eye(8, dtype=np.float32)] * 2, "count": np.zeros((), np.int32)}


def new_batch() -> Any:
    return np.ones((8, 8), np.float32)


def train_step(state: Any, x: Any) -> Any:
    def loss(ws: Any) -> Any:
        h = x
        for w in ws:
            h = jnp.tanh(h @ w)
        return jnp.square(h).mean()

    value, grads = jax.value_and_grad(loss)(state["w"])
    updated = jax.tree.map(lambda w, g: w - 0.1 * g, state["w"], grads)
    return {"w": updated, "count": state["count"] + 1}, value


@pytest.mark.parametrize("method", METHODS, ids=["shard", "pipeline"])
def test_a_deleted_array_is_an_error_of_its_own(method: Any) -> None:
    step = alpa.parallelize(train_step, method)
    state, _ = step(new_state(), new_batch())
    kept = jax.tree.map(np.array, state)
    step(state, new_batch())  # takes the memory of `state`
    with pytest.raises((RuntimeError, ValueError), match="deleted"):
        step(state, new_batch())
    state, _ = step(kept, new_batch())
    assert state["count"] == 2


@pytest.mark.parametrize("method", METHODS, ids=["shard", "pipeline"])
def test_another_structure_is_planned_for_and_a_wrong_one_named(method: Any) -> None:
    step = alpa.parallelize(train_step, method)
    state, _ = step(new_state(), new_batch())
    with pytest.raises(KeyError, match="count"):
        step({"w": state["w"]}, new_batch())
    state, _ = step(state, new_batch())
    assert state["count"] == 2


def test_an_error_of_the_user_arrives_and_the_step_runs_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = alpa.parallelize(train_step, alpa.ShardParallel())
    state, _ = step(new_state(), new_batch())
    runs: list[Any] = []

    def run(*args: Any) -> Any:
        runs.append(args)
        raise TypeError("the user's own")  # of the type that a wrong structure has in JAX

    assert step.executable is not None
    monkeypatch.setattr(type(step.executable), "__call__", run)
    with pytest.raises(TypeError, match="the user's own"):
        step(state, new_batch())
    assert len(runs) == 1
