"""The rows of the batch that a process has to load, where there is one process."""

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.errors import ArgumentError
from alpa_mlir.ir.functions import BatchDim
from alpa_mlir.options import Method
from alpa_mlir.runtime.batch_rows import microbatch_parts, rows_of_process
from alpa_mlir.schedule.values import Buffer

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


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (BatchDim(0, 8), [0, 1, 2, 3]),
        (BatchDim(0, 4), [0, 1, 4, 5]),
        (BatchDim(0, 4, 2), [0, 1, 2, 3]),
    ],
)
def test_rows_of_a_microbatch_are_those_of_its_examples(
    batch: BatchDim, expected: list[int]
) -> None:
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    parts = microbatch_parts((8, 3), batch, 2, [(Buffer("a1", 0), sharding)])
    assert rows_of_process(parts, 0).tolist() == expected
