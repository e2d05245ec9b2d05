"""Quantities keep three digits and take the next unit before they need a fourth."""

import pytest
from alpa_mlir.units import format_bytes, format_seconds


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
