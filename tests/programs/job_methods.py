"""The models and methods that jobs of several processes are run with, by name."""

from typing import Any

import alpa_mlir as alpa
import optax
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.options import Method


def job_model(name: str) -> Workload:
    """A model, and its size behind a colon if it is not "debug"."""
    model, _, size = name.partition(":")
    return workload(model, size or "debug", 8, optax.adamw(1e-2, eps=1e-4))


QUICK: dict[str, Any] = {"time_limit_seconds": 1, "target_gap": 0.2}
SEARCH: dict[str, Any] = {**QUICK, "num_processes": 0, "cache_dir": None}


def pipeline(num_stages: int, schedule: Any = "1f1b") -> Method:
    return alpa.PipelineParallel(
        num_stages=num_stages,
        num_microbatches=4,
        num_layers=max(2, num_stages),
        schedule=schedule,
        **SEARCH,
    )


METHODS: dict[str, Method] = {
    "shard": alpa.ShardParallel(**QUICK),
    "auto": alpa.Auto(num_layers=2, **SEARCH),
    "one_stage": pipeline(1),
    "gpipe": pipeline(2, "gpipe"),
    "1f1b": pipeline(2),
    "eager_1f1b": pipeline(2, "eager_1f1b"),
    "four_stages": pipeline(4),
}
