"""The cases of the MLSys'23 paper: never slower than its broadcasts, nothing sent twice."""

from __future__ import annotations

from typing import Any

import pytest
from oracles.benchmark_modules import load_benchmark


@pytest.fixture(scope="module")
def benchmark() -> Any:
    return load_benchmark("cross_mesh")


@pytest.mark.parametrize("case", "123456789")
def test_plan_beats_broadcasts_and_sends_the_least(benchmark: Any, case: str) -> None:
    found = benchmark.simulate(benchmark.CASES[case])
    assert found.is_never_slower
    assert found.broadcast < found.all_gather <= found.send_recv
    assert found.crossing_bytes == found.least_crossing_bytes
    assert found.planned == pytest.approx(found.bound, rel=0.01)


@pytest.mark.parametrize("case", ["1 to 1x4", "1 to 3x2", "1 to 4x2"])
def test_one_sender_is_enough_for_many_receivers(benchmark: Any, case: str) -> None:
    found = benchmark.simulate(benchmark.CASES[case])
    assert found.is_never_slower
    assert found.broadcast < found.send_recv / 3
    assert found.crossing_bytes == found.least_crossing_bytes
