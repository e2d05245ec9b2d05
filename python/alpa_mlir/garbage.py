"""Python's collector of reference cycles, and where it only costs time."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """For work that makes very many objects and no cycles of them, as a decorator too.

    In a large process the collector takes half of the time of such work: it looks at all objects
    there are, again and again. A user who has turned it off finds it off.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
