"""Counts in every element of its state, saves after every step, and is killed in the middle of it.

    python -m programs.counting FOLDER

What is restored must be one number throughout. Prints "begun N" when the save of N has begun, and
with it that of N-1 is complete.
"""

from __future__ import annotations

import sys
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp

NUM_LEAVES, SHAPE = 6, (512, 512)


def count(state: Any, batch: Any) -> Any:
    return jax.tree.map(lambda x: x + 1, state), jnp.mean(batch)


def init() -> Any:
    return {f"leaf{i}": jnp.zeros(SHAPE) for i in range(NUM_LEAVES)}


def compiled_step() -> Any:
    step = alpa.parallelize(count, alpa.ShardParallel(mesh_shape=(2, 4)))
    step.compile(jax.eval_shape(init), jax.ShapeDtypeStruct((8,), jnp.float32))
    return step


def main(folder: str) -> None:
    step = compiled_step()
    numbers = alpa.saved_numbers(folder)
    state = alpa.restore(folder, like=step) if numbers else alpa.create_state(init, like=step)
    batch = jnp.ones(8)
    number = numbers[-1] if numbers else 0
    while True:
        state, _ = step(state, batch)
        number += 1
        alpa.save(folder, state, step, number=number, keep=2)
        print(f"begun {number}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
