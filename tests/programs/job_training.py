"""What jobs of several processes train, and how: models and methods by name."""

from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import optax
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.options import Method


def job_model(name: str) -> Workload:
    """A model, and its size behind a colon if it is not "debug"."""
    model, _, size = name.partition(":")
    return workload(model, size or "debug", 8, optax.adamw(1e-2, eps=1e-4))


QUICK: dict[str, Any] = {"time_limit_seconds": 1, "target_gap": 0.2}
SEARCH: dict[str, Any] = {**QUICK, "num_processes": 0, "cache_dir": None}


def pipeline(num_stages: int, schedule: Any = "1f1b") -> Method:
    return alpa.PipelineParallel(
        num_stages=num_stages,
        num_microbatches=4,
        num_layers=max(2, num_stages),
        schedule=schedule,
        **SEARCH,
    )


METHODS: dict[str, Method] = {
    "shard": alpa.ShardParallel(**QUICK),
    "auto": alpa.Auto(num_layers=2, **SEARCH),
    "one_stage": pipeline(1),
    "gpipe": pipeline(2, "gpipe"),
    "1f1b": pipeline(2),
    "eager_1f1b": pipeline(2, "eager_1f1b"),
    "four_stages": pipeline(4),
}


def train(model: Workload, step: Any) -> tuple[list[float], dict[str, np.ndarray]]:
    """The losses of some steps, and of the state after them the shards of this process, by leaf and
    device of the cluster."""
    state = model.init_state(jax.random.key(0))
    batches = [model.example_batch(key) for key in jax.random.split(jax.random.key(1), 3)]
    step.compile(state, batches[0])
    state = jax.tree.map(jnp.copy, state)
    losses: list[float] = []
    for batch in batches:
        state, loss = step(state, batch)
        losses += [float(leaf) for leaf in jax.tree.leaves(loss)]
    numbers = {device: number for number, device in enumerate(jax.devices())}
    shards = {
        f"{leaf}@{numbers[shard.device]}": np.asarray(shard.data)
        for leaf, array in enumerate(jax.tree.leaves(state))
        for shard in array.addressable_shards
    }
    return losses, shards
