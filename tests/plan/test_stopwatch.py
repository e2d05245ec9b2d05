"""Seconds by part of the work."""

import pytest
from alpa_mlir import progress
from alpa_mlir.progress import Stopwatch


def test_a_part_within_another_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 3.0, 6.0, 10.0, 11.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(moments))
    stopwatch = Stopwatch("test")
    with stopwatch("outer"), stopwatch("inner"):  # begin at 0 and 1, end at 3 and 6
        pass
    with stopwatch("inner"):
        pass
    assert stopwatch.seconds == {"outer": 1.0 + 3.0, "inner": 2.0 + 1.0}


def test_a_part_that_fails_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 2.0, 2.0, 5.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(moments))
    stopwatch = Stopwatch("test")
    with pytest.raises(KeyError), stopwatch("broken"):
        raise KeyError
    with stopwatch("whole"):
        pass
    assert stopwatch.seconds == {"broken": 2.0, "whole": 3.0}
