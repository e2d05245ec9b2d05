"""Trains in several processes and goes on with those that are left when one is lost.

    n=4
    until alpa-run --processes $n --devices-per-process 2 examples/elastic.py FOLDER; do
        n=$((n - 1))
    done

The launcher restarts, the script does not: every start plans for the devices there are, restores
the latest checkpoint and goes on with the same batches. When the host is back, stop the job and
start it with more processes; the way up is the same. Needs
`pip install 'alpa_mlir[checkpoint,examples]'`.
"""

import sys
from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
import optax
from alpa_mlir.models.workload import workload

NUM_STEPS, SAVE_EVERY = 12, 4

setup = workload("gpt", "debug", 16, optax.adam(1e-3))


def load(number: int, rows: np.ndarray) -> Any:
    """The batch of a step, with the rows that this process has to load; the others stay zeros.

    A data loader reads them from its files: which they are follows from the step's number alone.
    """
    whole = setup.example_batch(jax.random.key(number))

    def own_rows(array: jax.Array) -> np.ndarray:
        batch = np.zeros(array.shape, array.dtype)
        batch[rows] = np.asarray(array)[rows]
        return batch

    return jax.tree.map(own_rows, whole)


def main(folder: str) -> None:
    alpa.initialize()
    step = alpa.parallelize(setup.train_step, alpa.DataParallel())
    step.compile(*setup.abstract_arguments())  # for the devices that there are
    numbers = alpa.saved_numbers(folder)
    if numbers:
        state = alpa.restore(folder, like=step)
    else:
        state = alpa.create_state(setup.init_state, jax.random.key(0), like=step)
    for number in range((numbers or [0])[-1] + 1, NUM_STEPS + 1):
        state, loss = step(state, load(number, step.batch_rows()))
        print(f"step {number}: loss {float(loss):.6f}", flush=True)
        if number % SAVE_EVERY == 0:
            alpa.save(folder, state, step, number=number)


if __name__ == "__main__":
    main(sys.argv[1])
