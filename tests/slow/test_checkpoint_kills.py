"""Many times kill -9 at random moments of saves: only the save that was under way is lost."""

import random
import warnings
from pathlib import Path

import pytest
from oracles.extent import in_part
from oracles.killed_saves import assert_restored, kill_while_saving
from programs.counting import compiled_step

NUM_KILLS = in_part(10, 20)


def test_saves_killed_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(0)
    step = compiled_step()
    num_unfinished = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is complete is whole
        for _ in range(NUM_KILLS):
            complete = kill_while_saving(tmp_path, rng.randrange(1, 4), rng.uniform(0, 0.3))
            unfinished = [each for each in tmp_path.iterdir() if not each.name.isdecimal()]
            num_unfinished += bool(unfinished)
            assert_restored(tmp_path, step, complete)
    if not num_unfinished:
        pytest.fail(f"none of {NUM_KILLS} kills came in the middle of a save")
