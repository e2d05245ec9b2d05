"""A job that gives steps their arguments in every way there is, and compares losses and state."""

from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
import pytest
from alpa_mlir.errors import ProcessError
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from programs.job_training import METHODS, job_model


def from_parts(batch: Any) -> Any:
    """Each process gives its own rows."""
    mesh = Mesh(np.array(jax.devices()), ("x",))
    sharding = NamedSharding(mesh, PartitionSpec("x"))

    def part(whole: np.ndarray) -> jax.Array:
        count = len(whole) // jax.process_count()
        own = whole[jax.process_index() * count :][:count]
        return jax.make_array_from_process_local_data(sharding, own)

    return jax.tree.map(part, batch)


def on_host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


def assert_own_shards_equal(state: Any, expected: Any) -> None:
    """Of the shards on this process' devices."""
    for array, whole in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        for shard in array.addressable_shards:
            np.testing.assert_allclose(np.asarray(shard.data), whole[shard.index], rtol=1e-6)


def check(name: str) -> tuple[Any, Any]:
    """Returns the step and what it returned: the next state and the loss."""
    step = alpa.parallelize(model.train_step, METHODS[name], donate_argnums=())
    executable = step.compile(initial, batch)
    state = alpa.create_state(lambda: model.init_state(jax.random.key(0)), like=step)
    shardings = jax.tree.leaves(executable.input_shardings[0])
    assert [leaf.sharding for leaf in jax.tree.leaves(state)] == shardings
    assert_own_shards_equal(state, initial)
    next_state, loss = step(state, batch)
    for other_state, other_batch in (
        (initial, from_parts(batch)),
        (model.init_state(jax.random.key(0)), jax.tree.map(jax.numpy.asarray, batch)),
    ):
        _, other = step(other_state, other_batch)
        np.testing.assert_array_equal(np.asarray(loss), np.asarray(other))
    return step, (next_state, loss)


alpa.initialize()
model = job_model("mlp")
initial = on_host(model.init_state(jax.random.key(0)))
batch = on_host(model.example_batch(jax.random.key(1)))
(whole, (after_whole, loss_of_whole)), (pipeline, (after, loss)) = map(check, ["shard", "1f1b"])
np.testing.assert_allclose(float(loss), float(loss_of_whole), rtol=1e-5)
# State of one plan goes on under another.
losses = [float(step(s, batch)[1]) for step in (whole, pipeline) for s in (after_whole, after)]
np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
with pytest.raises(ProcessError, match="expected one process for timeline, got 2"):
    pipeline.executable.timeline(initial, batch)  # type: ignore[union-attr]
print("all equal")
