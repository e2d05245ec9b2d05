"""kill -9 in the middle of a save loses nothing but that save. tests/slow has more of it."""

from pathlib import Path

import alpa_mlir as alpa
import jax.numpy as jnp
from oracles.killed_saves import assert_restored, kill_while_saving
from programs.counting import compiled_step


def test_killed_save_leaves_the_one_before_it(tmp_path: Path) -> None:
    step = compiled_step()
    complete = kill_while_saving(tmp_path, 3, 0.005)
    assert complete >= 2
    assert_restored(tmp_path, step, complete)

    state, _ = step(alpa.restore(tmp_path, like=step), jnp.ones(8))
    alpa.save(tmp_path, state, step, keep=2).wait()
    assert_restored(tmp_path, step, complete + 1)
    assert [each for each in tmp_path.iterdir() if not each.name.isdecimal()] == []
