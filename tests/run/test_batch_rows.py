"""The rows of the batch that a process has to load, where there is one process."""

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.errors import ArgumentError
from alpa_mlir.options import Method

STRUCTS = (jax.ShapeDtypeStruct((8, 4), jnp.float32), jax.ShapeDtypeStruct((16, 8), jnp.float32))


def train_step(w: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    loss, gradient = jax.value_and_grad(lambda w: jnp.mean(jnp.tanh(x @ w) ** 2))(w)
    return w - 0.1 * gradient, loss


@pytest.mark.parametrize(
    "method",
    [
        alpa.DataParallel(),
        alpa.PipelineParallel(num_stages=1, num_microbatches=4, num_layers=1, cache_dir=None),
    ],
    ids=["data", "pipeline"],
)
def test_one_process_loads_all_rows(method: Method) -> None:
    step = alpa.parallelize(train_step, method)
    step.compile(*STRUCTS)
    np.testing.assert_array_equal(step.batch_rows(), np.arange(16))


def test_rows_are_told_of_compiled_steps_with_batches_alone() -> None:
    step = alpa.parallelize(train_step, alpa.DataParallel())
    with pytest.raises(ArgumentError, match="compiled before it tells which rows it reads"):
        step.batch_rows()
    with pytest.raises(ArgumentError, match="expected a process of the 1 there are, got 1"):
        step.batch_rows(1)
    whole = alpa.parallelize(train_step, alpa.ShardParallel(), batch_argnums=())
    whole.compile(*STRUCTS)
    with pytest.raises(ArgumentError, match="arguments of train_step that count examples"):
        whole.batch_rows()
