"""Trains in a pipeline, saves, and goes on as one program over all devices, as after a restart.

python examples/checkpoint.py FOLDER

Run it again: it goes on from the latest checkpoint in the folder. Needs
`pip install 'alpa_mlir[checkpoint,examples]'`.
"""

import os
import sys

# Before JAX is imported: eight virtual devices on CPU, and threads enough for them.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["NPROC"] = "32"

from typing import Any

import alpa_mlir as alpa
import jax
import optax
from alpa_mlir.models.workload import workload

NUM_STEPS, SAVE_EVERY = 10, 5

setup = workload("gpt", "debug", 16, optax.adam(1e-3))
batch = setup.example_batch(jax.random.key(1))


def train(step: Any, folder: str) -> None:
    """Ten lines for every script: restore what is there, save now and then."""
    step.compile(*setup.abstract_arguments())
    numbers = alpa.saved_numbers(folder)
    if numbers:
        state = alpa.restore(folder, like=step)
    else:
        state = alpa.create_state(setup.init_state, jax.random.key(0), like=step)
    first = numbers[-1] if numbers else 0
    for number in range(first + 1, first + NUM_STEPS + 1):
        state, loss = step(state, batch)
        if number % SAVE_EVERY == 0:
            alpa.save(folder, state, step, number=number)  # the next steps run meanwhile
        print(f"step {number}: loss {loss:.6f}")


def main(folder: str) -> None:
    pipeline = alpa.PipelineParallel(num_stages=2, num_microbatches=4, num_layers=2)
    print("a pipeline of two stages")
    train(alpa.parallelize(setup.train_step, pipeline), folder)
    print("one program over all devices, from the same state")
    train(alpa.parallelize(setup.train_step, alpa.ShardParallel()), folder)


if __name__ == "__main__":
    main(sys.argv[1])
