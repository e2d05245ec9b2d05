"""Quantities keep three digits and take the next unit before they need a fourth."""

import pytest
from alpa_mlir.units import format_bytes, format_range, format_seconds, format_share


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (-113_480, "-113 kB"),
        (12_345_678_901, "12.3 GB"),
    ],
)
def test_bytes(count: float, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 us"), (1.5e-6, "1.5 us"), (999.6e-6, "1 ms"), (0.0123, "12.3 ms"), (2, "2 s")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_ranges_of_one_are_that_one() -> None:
    assert format_range(range(4)) == "0 to 3"
    assert format_range(range(3, 4)) == "3"


def test_share_of_nothing_is_nothing() -> None:
    assert format_share(1, 8) == "12.5%"
    assert format_share(1, 0) == "0.0%"
