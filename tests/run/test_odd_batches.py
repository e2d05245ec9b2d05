"""Batches with numbers and keys among their leaves, or whose examples are not in the first dim."""

from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.errors import PassError
from alpa_mlir.options import Method

B, D = 8, 16
METHODS = [
    alpa.PipelineParallel(num_stages=2, num_microbatches=4),
    alpa.PipelineParallel(num_stages=1, num_microbatches=2),
    alpa.DataParallel(),
    alpa.Auto(),
]


def array(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32) / 4


def weights() -> dict[str, Any]:
    return {"a": array(D, D), "b": array(D, D)}


def sgd(loss: Any) -> Any:
    def step(state: Any, batch: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(state, batch)
        return jax.tree.map(lambda w, g: w - 0.1 * g, state, grads), value

    return step


def assert_as_on_one_device(loss: Any, batch: Any, method: Method, **options: Any) -> None:
    step = alpa.parallelize(sgd(loss), method, **options)
    state, value = step(weights(), batch)
    expected, expected_value = jax.jit(sgd(loss))(weights(), batch)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state, expected
    )


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_numbers_and_keys_in_the_batch_are_whole(method: Method) -> None:
    def loss(p: Any, batch: Any) -> Any:
        noise = jax.random.normal(batch["key"], batch["x"].shape)
        hidden = jnp.tanh((batch["x"] + noise) @ p["a"]) @ p["b"]
        return (hidden**2).mean() / batch["count"]

    batch = {"x": array(B, D), "key": jax.random.key(1), "count": np.int32(3)}
    assert_as_on_one_device(loss, batch, method)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_examples_in_other_dims(method: Method) -> None:
    def loss(p: Any, batch: Any) -> Any:
        hidden = jnp.tanh(batch["x"].T @ p["a"]) @ p["b"]
        return ((hidden - batch["y"]) ** 2).mean()

    batch = {"x": array(D, B), "y": array(B, D)}
    assert_as_on_one_device(loss, batch, method, batch_dims=[{"x": 1, "y": 0}])


def test_effects_on_examples_are_refused_in_pipelines_and_run_otherwise() -> None:
    seen: list[int] = []

    def loss(p: Any, batch: Any) -> Any:
        hidden = jnp.tanh(batch @ p["a"])
        jax.debug.callback(lambda h: seen.append(len(h)), hidden)
        return ((hidden @ p["b"]) ** 2).mean()

    with pytest.raises(PassError, match=r"no effects on examples in a pipeline"):
        alpa.parallelize(sgd(loss), METHODS[0]).plan(weights(), array(B, D))
    step = alpa.parallelize(sgd(loss), alpa.Auto())
    jax.block_until_ready(step(weights(), array(B, D)))
    jax.effects_barrier()
    assert seen == [B]
    shape = jax.ShapeDtypeStruct((1024, 1024), np.float32)  # worth a look at pipelines
    found = step.plan({"a": shape, "b": shape}, shape)
    assert "no effects on examples" in " ".join(found.remarks)


def test_smaller_last_batch_is_planned_anew() -> None:
    """The state lies as the first plan left it, on the meshes of stages or of all devices."""

    def loss(p: Any, batch: Any) -> Any:
        return ((jnp.tanh(batch @ p["a"]) @ p["b"]) ** 2).mean()

    step, reference = alpa.parallelize(sgd(loss)), jax.jit(sgd(loss))
    state: Any = weights()
    expected: Any = weights()
    for size in (16, 16, 10, 16, 3):
        state, value = step(state, array(size, D))
        expected, expected_value = reference(expected, array(size, D))
        np.testing.assert_allclose(value, expected_value, rtol=1e-5)
