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

# By the names that options and plans have for them.
SCHEDULE_KINDS = {
    "gpipe": ScheduleKind.GPIPE,
    "1f1b": ScheduleKind.ONE_F_ONE_B,
    "eager_1f1b": ScheduleKind.EAGER_ONE_F_ONE_B,
    "inference": ScheduleKind.INFERENCE,
}


def make_schedule(
    kind: ScheduleKind,
    num_stages: int,
    num_microbatches: int,
    prologue_stage: int | None = None,
    num_update_rounds: int | None = None,
) -> Schedule:
    """The schedule of that kind.

    Args:
      prologue_stage: which stage runs the prologue; None where the step has none.
      num_update_rounds: how often updates wait for those of all stages, plus one; 0 is no update.
        None is one round for training and none for inference.

    Raises:
      ArgumentError: there is no stage or no microbatch, or the prologue is on no stage.
    """
    if num_stages < 1 or num_microbatches < 1:
        raise ArgumentError(
            f"expected at least one stage and one microbatch, got {num_stages} and "
            f"{num_microbatches}"
        )
    if prologue_stage is not None and not 0 <= prologue_stage < num_stages:
        raise ArgumentError(
            f"expected the prologue on one of {num_stages} stages, got stage {prologue_stage}"
        )
    is_training = kind != ScheduleKind.INFERENCE
    num_rounds = int(is_training) if num_update_rounds is None else num_update_rounds
    windows = tuple(
        max_in_flight(kind, num_stages - stage, num_microbatches) for stage in range(num_stages)
    )
    order = _windowed if is_training else _forwards
    meshes = tuple(
        (
            *_prologue(stage, prologue_stage),
            *order(stage, window, num_microbatches),
            *_updates(stage, num_rounds),
        )
        for stage, window in enumerate(windows)
    )
    return Schedule(kind.name.lower(), num_stages, num_microbatches, meshes, windows)


def _prologue(stage: int, prologue_stage: int | None) -> Iterator[Task]:
    if stage == prologue_stage:
        yield Task(stage, Phase.PROLOGUE)


def _windowed(stage: int, window: int, num_microbatches: int) -> Iterator[Task]:
    for microbatch in range(window):
        yield Task(stage, Phase.FORWARD, microbatch)
    for microbatch in range(num_microbatches):
        yield Task(stage, Phase.BACKWARD, microbatch)
        if microbatch + window < num_microbatches:
            yield Task(stage, Phase.FORWARD, microbatch + window)


def _forwards(stage: int, _window: int, num_microbatches: int) -> Iterator[Task]:
    for microbatch in range(num_microbatches):
        yield Task(stage, Phase.FORWARD, microbatch)


def _updates(stage: int, num_rounds: int) -> Iterator[Task]:
    for update_round in range(num_rounds):
        yield Task(stage, Phase.UPDATE, round=update_round)
