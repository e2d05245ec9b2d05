"""The schedules the planner knows, each stage on a mesh of its own.

Training schedules differ only in how far a stage's forwards run ahead of its backwards, its
window: all microbatches (GPipe), one per stage to the end (1F1B, PipeDream-flush), or about twice
as many (eager 1F1B, from the paper on cross-mesh resharding, MLSys'23), so that a transfer of one
microbatch overlaps the computation of others.
"""

from __future__ import annotations

from collections.abc import Iterator

from alpa_mlir._native import ScheduleKind, max_in_flight
from alpa_mlir.errors import ArgumentError
from alpa_mlir.schedule.schedule import Phase, Schedule, Task


def make_schedule(kind: ScheduleKind, num_stages: int, num_microbatches: int) -> Schedule:
    """The schedule of that kind.

    Raises:
      ArgumentError: there is no stage or no microbatch.
    """
    if num_stages < 1 or num_microbatches < 1:
        raise ArgumentError(
            f"expected at least one stage and one microbatch, got {num_stages} and "
            f"{num_microbatches}"
        )
    windows = tuple(
        max_in_flight(kind, num_stages - stage, num_microbatches) for stage in range(num_stages)
    )
    order = _forwards if kind == ScheduleKind.INFERENCE else _windowed
    meshes = tuple(
        tuple(order(stage, window, num_microbatches)) for stage, window in enumerate(windows)
    )
    return Schedule(kind.name.lower(), num_stages, num_microbatches, meshes, windows)


def _windowed(stage: int, window: int, num_microbatches: int) -> Iterator[Task]:
    for microbatch in range(window):
        yield Task(stage, Phase.FORWARD, microbatch)
    for microbatch in range(num_microbatches):
        yield Task(stage, Phase.BACKWARD, microbatch)
        if microbatch + window < num_microbatches:
            yield Task(stage, Phase.FORWARD, microbatch + window)
    yield Task(stage, Phase.UPDATE)


def _forwards(stage: int, _window: int, num_microbatches: int) -> Iterator[Task]:
    for microbatch in range(num_microbatches):
        yield Task(stage, Phase.FORWARD, microbatch)
