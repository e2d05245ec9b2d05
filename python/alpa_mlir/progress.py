"""How far planning and compiling are: seconds by part, told to whoever listens.

Nothing here prints but a warning of an interrupt; `alpa_mlir.report.progress` shows it on a
terminal.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A part of the work that begins, goes on or ends.

    Attributes:
      done, total: of work that is counted; None for other parts.
    """

    title: str
    part: str
    done: int | None = None
    total: int | None = None
    is_finished: bool = False


OnProgress = Callable[[Progress], None]


def say_nothing(_: Progress) -> None:
    """For those who do not listen."""


class Stopwatch:
    """Seconds by part, in the order they ended; parts of one name add up. A part within another
    counts for itself alone.

    Args:
      title: whose parts they are, for people.
      on_progress: called when a part begins, goes on and ends.

    Attributes:
      is_cut_short: whether a time limit or the user ended a search before it met its target;
        whoever asks sets it back.
    """

    def __init__(self, title: str, on_progress: OnProgress = say_nothing) -> None:
        self.seconds: dict[str, float] = {}
        self.is_cut_short = False
        self._title = title
        self._on_progress = on_progress
        self._within: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, part: str) -> Generator[None]:
        self._count()
        self._within.append(part)
        self._on_progress(Progress(self._title, part))
        try:
            yield
        finally:
            self._count()
            self._within.pop()
            self._on_progress(Progress(self._title, part, is_finished=True))

    def _count(self) -> None:
        """What has passed since a part began or ended, for the innermost."""
        now = time.perf_counter()
        if self._within:
            part = self._within[-1]
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def counted(self, part: str, total: int) -> Generator[Callable[[], None]]:
        """Within another part; yields what is to be called for each of `total` pieces."""
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            self._on_progress(Progress(self._title, part, done, total))

        self._on_progress(Progress(self._title, part, done, total))
        try:
            yield advance
        finally:
            self._on_progress(Progress(self._title, part, done, total, is_finished=True))


def warn_of_interrupt(best: str) -> None:
    """Where planning goes on with the best plan so far, in place of a KeyboardInterrupt."""
    warnings.warn(
        f"planning was interrupted, and goes on with the best plan so far ({best}); interrupt "
        "again to end the program",
        stacklevel=2,
    )
