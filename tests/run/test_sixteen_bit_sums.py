"""Gradients of 16-bit products, added up over many microbatches, stay as exact as those of one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest

BATCH, FEATURES, CLASSES = 128, 24, 10


def gradients_in(dtype: Any) -> Callable[..., Any]:
    """A step that returns gradients of float32 weights, whose products are of `dtype`."""

    def loss(params: Any, batch: Any) -> Any:
        low = jax.tree.map(lambda w: w.astype(dtype), params)
        hidden = low["table"][batch["ids"]] + batch["x"].astype(dtype)
        hidden = jax.nn.relu(hidden @ low["w0"] + low["b0"])
        hidden = hidden + jnp.tanh(hidden @ low["w1"])
        logits = (hidden @ low["head"]).astype(jnp.float32)
        log_p = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(log_p, batch["labels"][:, None], 1).mean()

    return jax.value_and_grad(loss)


def arguments() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape) / np.sqrt(shape[0]), jnp.float32)

    params = {
        "table": normal(7, FEATURES),
        "w0": normal(FEATURES, FEATURES),
        "b0": normal(FEATURES),
        "w1": normal(FEATURES, FEATURES),
        "head": normal(FEATURES, CLASSES),
    }
    batch = {
        "x": 1 + jnp.asarray(rng.normal(size=(BATCH, FEATURES)), jnp.float32),
        "ids": jnp.asarray(rng.integers(0, 7, BATCH), jnp.int32),
        "labels": jnp.asarray(rng.integers(0, CLASSES, BATCH), jnp.int32),
    }
    return params, batch


def errors(gradients: Any, exact: Any) -> dict[str, float]:
    """Of each parameter, the norm of the difference over that of the gradient."""
    return {
        name: float(np.linalg.norm(np.float64(gradients[name]) - exact[name]))
        / float(np.linalg.norm(exact[name]))
        for name in exact
    }


@pytest.mark.parametrize("num_microbatches", [2, 64, 128])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_many_microbatches_are_as_exact_as_one(dtype: Any, num_microbatches: int) -> None:
    params, batch = arguments()
    exact = jax.tree.map(np.float64, jax.jit(gradients_in(jnp.float32))(params, batch)[1])
    of_one = errors(jax.jit(gradients_in(dtype))(params, batch)[1], exact)
    method = alpa.PipelineParallel(
        num_stages=2, num_microbatches=num_microbatches, num_processes=0, cache_dir=None
    )
    # On one device each, so that nothing else is added up in 16 bits.
    cluster = replace(alpa.Cluster.local(), devices_per_node=2)
    step = alpa.parallelize(gradients_in(dtype), method, cluster)
    of_many = errors(step(params, batch)[1], exact)
    for name, error in of_one.items():
        assert error > 1e-4
        assert of_many[name] <= 1.2 * error, name
