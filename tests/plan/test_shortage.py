"""What does not fit into memory is said with bytes, op and tensors."""

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest

WEIGHTS = jax.ShapeDtypeStruct((512, 512), jnp.float32)
BATCH = jax.ShapeDtypeStruct((64, 512), jnp.float32)


def _step(weights: jax.Array, batch: jax.Array) -> jax.Array:
    gradient = jax.grad(lambda w: jnp.mean(jnp.tanh(batch @ w) ** 2))(weights)
    return weights - 0.1 * gradient


def _plan(memory_limit_bytes: int) -> alpa.Plan:
    method = alpa.ShardParallel(mesh_shape=(8,), memory_limit_bytes=memory_limit_bytes)
    step = alpa.parallelize(_step, method=method, cluster=alpa.Cluster.preset("p3.16xlarge"))
    return step.plan(WEIGHTS, BATCH)


def test_plan_shards_more_under_a_tighter_limit() -> None:
    limit = 512 * 512 * 4 // 2
    assert _plan(limit).memory_bytes <= limit < 512 * 512 * 4


def test_plan_too_little_memory_names_bytes_op_and_tensors() -> None:
    with pytest.raises(alpa.AlpaError) as error:
        _plan(50_000)
    message = str(error.value)
    assert "mesh {x: 8}" in message
    assert "bytes)" in message
    assert "(op " in message
    assert "weights 131 kB" in message  # the eighth that a device cannot do without
    assert "Use more devices" in message
