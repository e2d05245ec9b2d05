"""How much of all that could be tried is tried: a part where time is short, as in CI.

What an issue asks for in numbers (1,000 transfers, 200 steps, twenty kills) is tried by
`make test-whole`, and before one is called resolved.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# Set by `make test-whole`.
IS_WHOLE = os.environ.get("ALPA_TEST_EXTENT") == "whole"


def in_part(part: T, whole: T) -> T:
    """Of a size or a selection: `whole` where there is time for it."""
    return whole if IS_WHOLE else part


def each_nth(n: int, cases: Sequence[T]) -> list[T]:
    """All cases where there is time for them."""
    return list(cases[:: in_part(n, 1)])
