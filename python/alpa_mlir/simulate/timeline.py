"""Puts a schedule on a clock (cpp/core/PipelineSimulator.h).

The simulator knows forwards, backwards and one update per stage. The prologue comes before all it
simulates; an update of several rounds is one to it, and is cut in equal rounds afterwards.
"""

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
    """A task and when it runs.

    Attributes:
      reduction_seconds: of an update, what it spends at its beginning on the sums of gradients over
        the devices of its stage.
    """

    task: Task
    start_seconds: float
    end_seconds: float
    reduction_seconds: float = 0.0


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


def simulate(
    schedule: Schedule, stages: Sequence[StageDurations], prologue_seconds: float = 0.0
) -> Timeline:
    """Runs the schedule with these durations, one per stage.

    Transfers run beside computation; each direction between two stages is a link of its own and
    carries one transfer at a time. Rounds of an update share its time equally; what they send to
    one another takes no time.

    Raises:
      ScheduleError: the schedule cannot run to its end, or durations are lacking or negative.
    """
    if len(stages) != schedule.num_stages:
        raise ScheduleError(
            f"expected durations of {schedule.num_stages} stages, got {len(stages)}"
        )
    try:
        result = simulate_pipeline(_native_tasks(schedule), list(stages), schedule.num_microbatches)
    except ValueError as error:
        raise ScheduleError(f"schedule '{schedule.name}' cannot be simulated: {error}") from None
    start = prologue_seconds if schedule.prologue else 0.0
    simulated = {
        task: TimedTask(task, start + begin, start + end)
        for tasks, times in zip(schedule.meshes, result.times, strict=True)
        for task, (begin, end) in zip(filter(_is_simulated, tasks), times, strict=True)
    }
    if schedule.prologue:
        simulated[schedule.prologue] = TimedTask(schedule.prologue, 0.0, start)
    if schedule.num_update_rounds > 1:
        simulated = _cut_rounds(schedule, simulated)
    meshes = tuple(tuple(simulated[task] for task in tasks) for tasks in schedule.meshes)
    return make_timeline(schedule, meshes, tuple(result.peak_in_flight))


def make_timeline(
    schedule: Schedule, meshes: tuple[tuple[TimedTask, ...], ...], peak_in_flight: tuple[int, ...]
) -> Timeline:
    """The timeline of tasks whose times are known."""
    tasks = [timed for timed_tasks in meshes for timed in timed_tasks]
    makespan = max((timed.end_seconds for timed in tasks), default=0.0)
    busy = sum(timed.end_seconds - timed.start_seconds for timed in tasks)
    bubble = 1 - busy / (makespan * len(meshes)) if makespan > 0 else 0.0
    return Timeline(schedule, meshes, makespan, bubble, peak_in_flight)


def _is_simulated(task: Task) -> bool:
    return task.phase != Phase.PROLOGUE and task.round == 0


def _native_tasks(schedule: Schedule) -> list[list[PipelineTask]]:
    return [
        [
            PipelineTask(task.stage, _NATIVE_PHASES[task.phase], task.microbatch)
            for task in tasks
            if _is_simulated(task)
        ]
        for tasks in schedule.meshes
    ]


def _cut_rounds(schedule: Schedule, simulated: dict[Task, TimedTask]) -> dict[Task, TimedTask]:
    """Times all rounds, in place of the whole updates that stand at their first."""
    rounds = [t for tasks in schedule.meshes for t in tasks if t.phase == Phase.UPDATE]
    timed = {task: time for task, time in simulated.items() if task.phase != Phase.UPDATE}
    free_at = [
        max((timed[task].end_seconds for task in tasks if task in timed), default=0.0)
        for tasks in schedule.meshes
    ]
    for task in sorted(rounds, key=lambda task: task.round):
        mesh = schedule.mesh_of_stage[task.stage]
        whole = simulated[Task(task.stage, Phase.UPDATE)]
        seconds = (whole.end_seconds - whole.start_seconds) / schedule.num_update_rounds
        ready = max(timed[before].end_seconds for before in schedule.dependencies(task))
        begin = max(ready, free_at[mesh])
        free_at[mesh] = begin + seconds
        timed[task] = TimedTask(task, begin, free_at[mesh])
    return timed
