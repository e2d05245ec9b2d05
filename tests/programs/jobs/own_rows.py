"""A job whose processes load only the rows that they have to, all others being damaged."""

from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
from programs.job_training import METHODS, job_model

alpa.initialize()
model = job_model("mlp")
state = jax.tree.map(np.asarray, model.init_state(jax.random.key(0)))
batch = jax.tree.map(np.asarray, model.example_batch(jax.random.key(1)))
num_rows = len(jax.tree.leaves(batch)[0])


def with_rows(rows: np.ndarray) -> Any:
    """The batch with these rows alone; the others are not numbers."""

    def damaged(array: np.ndarray) -> np.ndarray:
        found = np.full_like(array, np.nan if array.dtype.kind == "f" else 10**6)
        found[rows] = array[rows]
        return found

    return jax.tree.map(damaged, batch)


counts: dict[str, list[int]] = {}
for name, method in {**METHODS, "data": alpa.DataParallel()}.items():
    if name == "four_stages":  # of four layers, which the model does not have
        continue
    step = alpa.parallelize(model.train_step, method, donate_argnums=())
    step.compile(state, batch)
    expected = float(step(state, batch)[1])
    found = [step.batch_rows(process) for process in range(jax.process_count())]
    np.testing.assert_array_equal(step.batch_rows(), found[jax.process_index()])
    assert set(np.concatenate(found).tolist()) == set(range(num_rows)), name
    assert float(step(state, with_rows(step.batch_rows()))[1]) == expected, name
    counts[name] = [len(rows) for rows in found]
    if min(counts[name]) == num_rows:
        continue
    # One row less, where it is needed, is seen.
    lacking = step(state, with_rows(step.batch_rows()[1:]))[1]
    assert float(lacking) != expected, name
assert counts["data"] == [num_rows // jax.process_count()] * jax.process_count(), counts
print("all equal")
