"""Shows on a terminal which part of planning or compiling is running."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.status import Status
from rich.text import Text

from alpa_mlir.progress import OnProgress, Progress, say_nothing


def terminal_progress() -> OnProgress:
    """A line that changes where standard error is a terminal, and nothing elsewhere."""
    return _Terminal() if sys.stderr.isatty() else say_nothing


class _Terminal:
    """The innermost part that has not ended is the one that is shown."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._open: list[Progress] = []
        self._status: Status | None = None
        self._bars: Bars | None = None
        self._bar = TaskID(0)

    def __call__(self, progress: Progress) -> None:
        self._open = [p for p in self._open if (p.title, p.part) != (progress.title, progress.part)]
        if not progress.is_finished:
            self._open.append(progress)
        self._show(self._open[-1] if self._open else None)

    def _show(self, progress: Progress | None) -> None:
        is_counted = progress is not None and progress.total is not None
        if not is_counted:
            self._end_bars()
        if progress is None or is_counted:
            self._end_status()
        if progress is None:
            return
        text = f"alpa: {progress.title}: {progress.part}"
        if is_counted:
            self._bars = self._bars or self._start_bars()
            self._bars.update(
                self._bar, description=text, completed=progress.done, total=progress.total
            )
        elif self._status is None:
            self._status = self._console.status(Text(text))
            self._status.start()
        else:
            self._status.update(Text(text))

    def _start_bars(self) -> Bars:
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bars = Bars(*columns, console=self._console, transient=True)
        self._bar = bars.add_task("")
        bars.start()
        return bars

    def _end_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
