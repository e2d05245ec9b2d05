"""Pipelines on eight CPU devices end where one device takes the same steps."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from alpa_mlir.runtime.compile import compile_pipeline
from pipelines import Placement, initial_state, make_batch, make_pipeline, reference_step

BY_COLUMN, BY_ROW = ((), ("x",)), (("x",), ())
TWO = (Placement((1, 2), 0, ((), ("y",)), (("y",), ())), Placement((1, 2), 2, (("y",), ())))
UNEQUAL = (
    Placement((1, 2), 0, ((), ("y",)), (("y",), ())),
    Placement((1, 2), 2, (("y",), ()), ((), ("y",))),
    Placement((1, 4), 4, ((), ("y",)), ((), ("y",))),
)
FOUR = (
    Placement((2,), 0, BY_COLUMN, BY_ROW),
    Placement((2,), 2, BY_ROW, BY_COLUMN),
    Placement((1,), 4),
    Placement((2,), 5, BY_COLUMN),
)
GROWING = (Placement((1,), 0), Placement((2, 2), 1, (("x",), ("y",)), ((), ("x", "y"))))
LAYOUTS = {"two": TWO, "unequal": UNEQUAL, "four": FOUR, "growing": GROWING}


def error(actual: Any, expected: Any) -> float:
    def leaf(a: Any, b: Any) -> float:
        if jax.dtypes.issubdtype(b.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        return float(np.max(np.abs(a.astype(float) - b.astype(float)), initial=0.0))

    return max(jax.tree.leaves(jax.tree.map(leaf, actual, expected)))


def train(step: Any, num_stages: int, num_steps: int = 3) -> Any:
    state, outputs = initial_state(num_stages), []
    for k in range(num_steps):
        state, *rest = step(state, make_batch(k), np.float32(k))
        outputs.append(rest)
    return state, outputs


@pytest.mark.parametrize("num_microbatches", [1, 2, 4])
@pytest.mark.parametrize("schedule", ["GPIPE", "ONE_F_ONE_B", "EAGER_ONE_F_ONE_B"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_equals_one_device(layout: str, schedule: str, num_microbatches: int) -> None:
    placements = LAYOUTS[layout]
    program = make_pipeline(placements, schedule, num_microbatches)
    executable = compile_pipeline(program, jax.devices())
    expected = train(reference_step(len(placements), num_microbatches), len(placements))
    assert error(train(executable, len(placements)), expected) < 1e-5
