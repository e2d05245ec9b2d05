"""Public instances of the IOPDDL contest (ASPLOS/EuroSys 2025), where their files are present."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from alpa_mlir.cli.solve import load_problem
from alpa_mlir.intra_op.solve import solve

DEFAULT = Path(__file__).parents[2] / ".." / "shared" / "data" / "iopddl"
INSTANCES = Path(os.environ.get("IOPDDL_INSTANCES", DEFAULT))

pytestmark = pytest.mark.skipif(
    not INSTANCES.exists(), reason="no instances; name their folder in IOPDDL_INSTANCES"
)


@pytest.mark.parametrize(
    ("name", "optimum"),
    [("A", 6548553650), ("B", 532843), ("G", 217039), ("P", 651833115436)],
)
def test_instance_is_proven_optimal(name: str, optimum: int) -> None:
    start = time.monotonic()
    problem = load_problem(INSTANCES / f"asplos-2025-iopddl-{name}.json.gz")
    solution = solve(problem, time_limit_seconds=30)
    assert (solution.cost, solution.lower_bound) == (optimum, optimum)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("name", "cost", "gap", "time_limit_seconds"),
    [("K", 2_265_000_000, 0.10, 180), ("V", 1_632_051, 0.05, 300)],
)
def test_instance_is_better_than_known(
    name: str, cost: int, gap: float, time_limit_seconds: float
) -> None:
    problem = load_problem(INSTANCES / f"asplos-2025-iopddl-{name}.json.gz")
    solution = solve(problem, time_limit_seconds=time_limit_seconds, target_gap=gap)
    assert solution.cost <= cost
    assert solution.gap <= gap
