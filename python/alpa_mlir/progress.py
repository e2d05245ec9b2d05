"""Times the phases of planning and compiling, and shows on a terminal which one is running."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console


class Phases:
    """Seconds by phase, in the order they began; phases of one name add up."""

    def __init__(self, title: str, *, is_shown: bool | None = None) -> None:
        """`is_shown`: whether to print a progress line; None: only on a terminal."""
        self.seconds: dict[str, float] = {}
        self._title = title
        self._is_shown = sys.stderr.isatty() if is_shown is None else is_shown

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        start = time.perf_counter()
        try:
            if self._is_shown:
                with Console(stderr=True).status(f"alpa: {self._title}: {name}"):
                    yield
            else:
                yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
