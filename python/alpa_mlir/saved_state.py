"""Keeps the state of a parallelized step on disk, and brings it back under another plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alpa_mlir.checkpoint import restoring, store
from alpa_mlir.checkpoint.saving import Saving as Saving
from alpa_mlir.checkpoint.saving import Writer
from alpa_mlir.parallelize import ParallelFunction

# Of this process: a save waits for the one before it, whichever folder that went to.
_WRITER = Writer()


def save(
    path: str | Path,
    state: Any,
    step: ParallelFunction,
    *,
    number: int | None = None,
    keep: int | None = 3,
) -> Saving:
    """Starts to write a checkpoint, and returns when the state may be donated to the next step.

    Every array is stored as the whole that it is, whatever the meshes it lies on; orbax reads it
    without this package. The plan lies beside it. Until the checkpoint is complete, those before
    it are what `restore` finds, also after a crash.

    Args:
      path: a folder of numbered checkpoints, made if it is not there.
      state: a pytree of arrays and numbers.
      step: the parallelized step, for its plan. It must have been compiled.
      number: of the checkpoint, such as the steps done; None is one above the latest.
      keep: how many checkpoints stay, the latest; None is all.

    Returns:
      A handle whose `wait()` returns when the checkpoint is complete. The next save waits for it,
      and so must a program before it ends.

    Raises:
      ArgumentError: the step has not been compiled, or the number is not above the latest.
      CheckpointError: the folder cannot be written, a leaf cannot be stored, the save before this
        one failed, or orbax is not installed.
    """
    plan = step.compiled_executable("save").plan
    return _WRITER.save(path, state, plan.to_json(), number, keep)


def restore(
    path: str | Path, *, like: ParallelFunction, argnum: int = 0, number: int | None = None
) -> Any:
    """A stored state, every leaf on the devices that keep it between steps.

    The step may run under another plan than the one that the state was saved under: other meshes,
    stages, schedules. No device ever holds more than its share.

    Args:
      path: the folder given to `save`.
      like: the parallelized step. It must have been compiled, by `like.compile` or a call.
      argnum: the position of the state among the step's arguments.
      number: of the checkpoint; None is the latest. If that is damaged, a warning says so and the
        one before it is taken.

    Raises:
      ArgumentError: the step has not been compiled, or has no such argument.
      CheckpointError: there is no checkpoint, or its state has another structure, or leaves of
        other shapes or dtypes; the message names the first.
    """
    layout = like.compiled_executable("restore").state_layout(like.dynamic_position(argnum))
    _WRITER.wait()
    return restoring.restore(path, layout.tree, layout.avals, layout.shardings, number)


def saved_numbers(path: str | Path) -> list[int]:
    """The numbers of the complete checkpoints in a folder, the latest last."""
    return store.saved_numbers(path)
