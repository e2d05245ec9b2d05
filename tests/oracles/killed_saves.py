"""Kills a program in the middle of its saves and says what it had promised by then."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np

PATIENCE_SECONDS = 120


def kill_while_saving(folder: Path, num_saves: int, delay_seconds: float) -> int:
    """Runs `programs.counting` and kills it a while after it began the n-th save of its own.

    Returns:
      The latest number whose save was complete for sure.
    """
    root = Path(__file__).resolve().parents[1]
    paths = [str(root), str(root.parent / "python"), os.environ.get("PYTHONPATH", "")]
    child = subprocess.Popen(
        [sys.executable, "-m", "programs.counting", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        begun = [child.stdout.readline() for _ in range(num_saves)]
        time.sleep(delay_seconds)
        child.kill()
        begun += child.stdout.readlines()
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE_SECONDS)
    numbers = [
        int(line.split()[1]) for line in begun if line.startswith("begun") and line.endswith("\n")
    ]
    assert numbers, "the program ended before it was killed"
    return numbers[-1] - 1


def assert_restored(folder: Path, step: Any, at_least: int) -> None:
    """What is restored is the state after one number of steps, no earlier than promised."""
    state = jax.device_get(alpa.restore(folder, like=step))
    values = {float(value) for leaf in jax.tree.leaves(state) for value in np.unique(leaf)}
    number = alpa.saved_numbers(folder)[-1]
    assert values == {float(number)}
    assert number >= at_least
