"""Writes one checkpoint after the other while training goes on."""

from __future__ import annotations

import sys
import threading
from operator import index
from pathlib import Path
from threading import RLock
from typing import Any

from alpa_mlir.checkpoint import store
from alpa_mlir.checkpoint.leaves import storable
from alpa_mlir.errors import ArgumentError, CheckpointError


class Saving:
    """A checkpoint that is being written.

    Attributes:
      number: of the checkpoint.
      path: the folder that it will be.
    """

    def __init__(self, folder: Path, number: int, manager: Any) -> None:
        self.number = number
        self.path = folder / str(number)
        self._folder = folder
        self._manager = manager
        self._error: CheckpointError | None = None
        self._lock = RLock()

    @property
    def has_ended(self) -> bool:
        """Whether somebody has waited for it, and knows how it ended."""
        return self._manager is None

    def wait(self) -> None:
        """Returns when the checkpoint is complete.

        Raises:
          CheckpointError: it could not be written; those before it are as they were.
        """
        with self._lock:
            manager, self._manager = self._manager, None
            if manager is not None:
                try:
                    store.finish(manager, self._folder, self.number)
                except CheckpointError as error:
                    self._error = error
            if self._error is not None:
                raise self._error


class Writer:
    """Writes the checkpoints of a process, one at a time: the host holds one copy of the state."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._last: Saving | None = None
        self._waits_at_exit = False

    def save(
        self, path: str | Path, state: Any, plan: Any, number: int | None, keep: int | None
    ) -> Saving:
        """Waits for the last checkpoint, copies the state to the host, and starts to write it.

        Raises:
          CheckpointError: the folder cannot be written, the state cannot be stored, or the last
            checkpoint could not be written.
          ArgumentError: the number is not above those that are there.
        """
        number = _checked(number, keep)
        arrays = storable(state)
        store.orbax()
        store.make_folder(path)
        with self._lock:
            self.wait()
            chosen = _free_number(path, number)
            self._wait_at_exit()
            manager = store.begin(path, chosen, arrays, plan, keep)
            self._last = Saving(Path(path), chosen, manager)
            return self._last

    def wait(self) -> None:
        """For the last checkpoint; raises its error, unless its owner has seen that."""
        with self._lock:
            if self._last is not None and not self._last.has_ended:
                self._last.wait()

    def _wait_at_exit(self) -> None:
        """A program that ends without having waited for its last checkpoint gets it all the same.

        `atexit` is too late: thread pools, which orbax writes with, take nothing more by then.
        """
        register = getattr(threading, "_register_atexit", None)  # as concurrent.futures has it
        if not self._waits_at_exit and register is not None:
            register(self._end)
            self._waits_at_exit = True

    def _end(self) -> None:
        try:
            self.wait()
        except CheckpointError as error:
            print(error, file=sys.stderr)


def _checked(number: Any, keep: int | None) -> int | None:
    """The number, which may be of JAX or NumPy."""
    try:
        number = None if number is None else index(number)
    except TypeError:
        raise ArgumentError(f"expected a whole number for a checkpoint, got {number!r}") from None
    if number is not None and number < 0:
        raise ArgumentError(f"expected a number of at least 0 for a checkpoint, got {number}")
    if keep is not None and keep < 1:
        raise ArgumentError(f"expected to keep at least 1 checkpoint, got {keep}; None keeps all")
    return number


def _free_number(path: str | Path, number: int | None) -> int:
    latest = max(store.saved_numbers(path), default=-1)
    if number is None:
        return latest + 1
    if number <= latest:
        raise ArgumentError(
            f"expected a number above {latest}, that of the latest checkpoint in {path}, got "
            f"{number}; remove later checkpoints to go on from an earlier one, or name another "
            "folder"
        )
    return number
