"""Processes that cost stages: they live as long as the planning, and no longer."""

import subprocess
from typing import Any

import alpa_mlir as alpa
import optax
import pytest
from alpa_mlir.inter_op import cost_table
from alpa_mlir.models.workload import workload
from alpa_mlir.progress import Progress

Processes = list[subprocess.Popen[str]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Those that planning starts."""
    processes: Processes = []

    class Recorded(subprocess.Popen[str]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            processes.append(self)

    monkeypatch.setattr(cost_table.subprocess, "Popen", Recorded)
    return processes


def plan(on_progress: Any = None) -> alpa.Plan:
    mlp = workload("mlp", "debug", 32, optax.sgd(1e-2))
    method = alpa.Auto(num_microbatches=2, num_layers=3, num_processes=2, cache_dir=None)
    cluster = alpa.Cluster.preset("p3.16xlarge")
    parallel = alpa.parallelize(mlp.train_step, method, cluster)
    if on_progress is not None:
        parallel.stopwatch._on_progress = on_progress
    return parallel.plan(*mlp.abstract_arguments())


def test_they_are_started_once_and_end(started: Processes) -> None:
    plan()
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_they_end_when_the_user_interrupts(started: Processes) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(interrupt)
    assert started
    assert all(process.poll() is not None for process in started)
