"""Sets clocks beside a running step: asynchronously, and restored on every way out.

A worker per stage takes requests; one that waits is replaced by a newer one, so that a device is
never more than one request behind. After a failure no clocks are set any more: that costs energy,
never the step. A watcher process restores the clocks if this one is killed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

_STOP_SECONDS = 5.0
# Runs its arguments as a command once its input ends without the word that all is restored. In a
# session of its own, so that what kills the driver's group leaves it alone.
_WATCHER = (
    "import subprocess, sys\n"
    "if sys.stdin.read() != 'restored': subprocess.run(sys.argv[1:], check=False)\n"
)


class Clocks(Protocol):
    """The devices of a pipeline, by stage."""

    def set_megahertz(self, stage: int, megahertz: float) -> None:
        """Sets the clock of all devices of a stage; may take milliseconds."""
        ...

    def restore(self) -> None:
        """Lets all devices choose their clocks again."""
        ...

    def restore_command(self) -> Sequence[str]:
        """A command that does the same from another process."""
        ...


class KillWatcher:
    """A process that restores clocks if this one ends without having done so."""

    def __init__(self, restore_command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WATCHER, *restore_command],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, is_restored: bool) -> None:
        """Waits for its end; it tries to restore what is not."""
        try:
            self._process.communicate("restored" if is_restored else "")
        except OSError:  # it was killed
            self._process.wait()


class ClockController:
    """Requests for the clocks of stages. Close it, or use it in a `with` block."""

    def __init__(self, clocks: Clocks, num_stages: int) -> None:
        self._clocks = clocks
        self._changed = threading.Condition()
        self._wanted: dict[int, float] = {}
        self._set: dict[int, float] = {}
        self._is_open = True
        self._has_failed = False
        self._watcher = KillWatcher(clocks.restore_command())
        self._workers = [
            threading.Thread(target=self._work, args=(stage,), daemon=True)
            for stage in range(num_stages)
        ]
        for worker in self._workers:
            worker.start()

    def request(self, stage: int, megahertz: float) -> None:
        """Asks for a clock and returns at once."""
        with self._changed:
            self._wanted[stage] = megahertz
            self._changed.notify_all()

    def close(self) -> None:
        """Restores the clocks; does nothing the second time."""
        with self._changed:
            if not self._is_open:
                return
            self._is_open = False
            self._changed.notify_all()
        for worker in self._workers:
            worker.join(_STOP_SECONDS)
        self._watcher.end(is_restored=self._attempt(self._clocks.restore))

    def __enter__(self) -> ClockController:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self, stage: int) -> None:
        while (megahertz := self._next(stage)) is not None:
            self._attempt(partial(self._clocks.set_megahertz, stage, megahertz))

    def _next(self, stage: int) -> float | None:
        """The latest clock asked for that is not the one set; None at the end."""
        with self._changed:
            while self._is_open:
                wanted = None if self._has_failed else self._wanted.pop(stage, None)
                if wanted is not None and wanted != self._set.get(stage):
                    self._set[stage] = wanted
                    return wanted
                self._changed.wait()
        return None

    def _attempt(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as error:  # of anybody's driver
            if not self._has_failed:
                self._has_failed = True
                warnings.warn(f"clocks are no longer set: {error}", stacklevel=2)
            return False
        return True
