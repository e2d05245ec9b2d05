"""Puts a schedule on a clock (cpp/core/PipelineSimulator.h)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alpa_mlir._native import PipelineTask, StageDurations, TaskPhase, simulate_pipeline
from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.schedule import Phase, Schedule, Task

_NATIVE_PHASES = {
    Phase.FORWARD: TaskPhase.FORWARD,
    Phase.BACKWARD: TaskPhase.BACKWARD,
    Phase.UPDATE: TaskPhase.UPDATE,
}


@dataclass(frozen=True)
class TimedTask:
    task: Task
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Timeline:
    """When every task runs.

    Attributes:
      meshes: the tasks of each mesh, in order.
      bubble_fraction: the part of all meshes' time until the end in which they idle.
      peak_in_flight: per stage, microbatches whose activations are held at once.
    """

    schedule: Schedule
    meshes: tuple[tuple[TimedTask, ...], ...]
    makespan_seconds: float
    bubble_fraction: float
    peak_in_flight: tuple[int, ...]

    def tasks(self) -> Iterator[TimedTask]:
        for tasks in self.meshes:
            yield from tasks

    def peak_memory_bytes(
        self, resident_bytes: Sequence[int], activation_bytes: Sequence[int]
    ) -> tuple[int, ...]:
        """Per stage, given what it always holds and what it holds per microbatch in flight."""
        parts = zip(resident_bytes, activation_bytes, self.peak_in_flight, strict=True)
        return tuple(resident + activation * count for resident, activation, count in parts)


def simulate(schedule: Schedule, stages: Sequence[StageDurations]) -> Timeline:
    """Runs the schedule with these durations, one per stage.

    Transfers run beside computation; each direction between two stages is a link of its own and
    carries one transfer at a time.

    Raises:
      ScheduleError: the schedule cannot run to its end, or durations are lacking or negative.
    """
    if len(stages) != schedule.num_stages:
        raise ScheduleError(
            f"expected durations of {schedule.num_stages} stages, got {len(stages)}"
        )
    native = [
        [PipelineTask(task.stage, _NATIVE_PHASES[task.phase], task.microbatch) for task in tasks]
        for tasks in schedule.meshes
    ]
    try:
        result = simulate_pipeline(native, list(stages), schedule.num_microbatches)
    except ValueError as error:
        raise ScheduleError(f"schedule '{schedule.name}' cannot be simulated: {error}") from None
    meshes = tuple(
        tuple(TimedTask(task, *times) for task, times in zip(tasks, mesh_times, strict=True))
        for tasks, mesh_times in zip(schedule.meshes, result.times, strict=True)
    )
    return Timeline(
        schedule,
        meshes,
        result.makespan_seconds,
        result.bubble_fraction,
        tuple(result.peak_in_flight),
    )
