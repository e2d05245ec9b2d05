"""A job that trains under each method it is asked for, and writes what it saw.

train.py FOLDER MODEL METHOD...: process 0 writes METHOD.plan.json, process P METHOD.P.npz with its
shards of the state and METHOD.P.json with losses and counts.
"""

import json
import sys
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
from alpa_mlir.runtime.pipeline import PipelineExecutable
from programs.job_methods import METHODS, job_model


def shards(state: Any) -> dict[str, np.ndarray]:
    """Of this process, by leaf and device of the cluster."""
    numbers = {device: number for number, device in enumerate(jax.devices())}
    return {
        f"{leaf}@{numbers[shard.device]}": np.asarray(shard.data)
        for leaf, array in enumerate(jax.tree.leaves(state))
        for shard in array.addressable_shards
    }


def train(folder: Path, model_name: str, name: str) -> None:
    index = jax.process_index()
    model = job_model(model_name)
    step = alpa.parallelize(model.train_step, METHODS[name])
    state = model.init_state(jax.random.key(0))
    batches = [model.example_batch(key) for key in jax.random.split(jax.random.key(1), 3)]
    executable = step.compile(state, batches[0])
    losses: list[float] = []
    for batch in batches:
        state, loss = step(state, batch)
        losses += [float(leaf) for leaf in jax.tree.leaves(loss)]
    found: dict[str, Any] = {"losses": losses}
    if isinstance(executable, PipelineExecutable):
        found["stages"] = sorted({kind.stage for kind in executable.compiled})
        found["num_issued"] = len(executable.driver.issued)
        found["transport"] = executable.transport
        found["memory"] = executable.memory_analysis()
    (folder / f"{name}.{index}.json").write_text(json.dumps(found))
    named: dict[str, Any] = shards(state)
    np.savez(folder / f"{name}.{index}.npz", **named)
    if index == 0:
        step.plan(state, batches[0]).save(folder / f"{name}.plan.json")


alpa.initialize()
for asked in sys.argv[3:]:
    train(Path(sys.argv[1]), sys.argv[2], asked)
