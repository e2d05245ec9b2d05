"""A schedule on a clock, with a link of its own from each stage to its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alpa_mlir._native import TransferRoute
from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.schedule import Phase, Schedule, Task
from alpa_mlir.simulate.clock import Network, Sending, Work, run_clock


@dataclass(frozen=True, kw_only=True)
class StageDurations:
    """How long tasks of a stage take, and transfers of a microbatch to its neighbours.

    Attributes:
      update_seconds: of all rounds together.
      send_forward_seconds: to the next stage; send_backward_seconds: to the one before.
    """

    forward_seconds: float
    backward_seconds: float = 0.0
    update_seconds: float = 0.0
    send_forward_seconds: float = 0.0
    send_backward_seconds: float = 0.0


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
    schedule.verify_tasks()
    sendings = list(_sendings(schedule, stages))
    numbers = {sending.after: number for number, sending in enumerate(sendings)}
    works = [
        [_work(schedule, task, stages, prologue_seconds, numbers) for task in tasks]
        for tasks in schedule.meshes
    ]
    num_links = 2 * schedule.num_stages  # which carry a second's data in a second
    routes = tuple(TransferRoute(0.0, [(link, 1.0)]) for link in range(num_links))
    network = Network(routes, (1.0,) * num_links)
    times, _ = run_clock(schedule.name, works, sendings, network)
    meshes = tuple(
        tuple(TimedTask(task, *times[task]) for task in tasks) for tasks in schedule.meshes
    )
    return make_timeline(schedule, meshes, schedule.peak_in_flight())


def _sendings(schedule: Schedule, stages: Sequence[StageDurations]) -> Iterator[Sending]:
    for task in (task for tasks in schedule.meshes for task in tasks):
        seconds = stages[task.stage]
        if task.phase == Phase.FORWARD and task.stage + 1 < schedule.num_stages:
            yield Sending(2 * task.stage, seconds.send_forward_seconds, task)
        if task.phase == Phase.BACKWARD and task.stage > 0:
            yield Sending(2 * task.stage + 1, seconds.send_backward_seconds, task)


def _work(
    schedule: Schedule,
    task: Task,
    stages: Sequence[StageDurations],
    prologue_seconds: float,
    sendings: Mapping[Task | None, int],
) -> Work:
    before = list(schedule.dependencies(task))
    sent = [each for each in before if _is_sent(each, task)]
    seconds = {
        Phase.PROLOGUE: prologue_seconds,
        Phase.FORWARD: stages[task.stage].forward_seconds,
        Phase.BACKWARD: stages[task.stage].backward_seconds,
        Phase.UPDATE: stages[task.stage].update_seconds / max(schedule.num_update_rounds, 1),
    }[task.phase]
    return Work(
        task,
        seconds,
        tuple(each for each in before if not _is_sent(each, task)),
        tuple(sendings[each] for each in sent),
    )


def _is_sent(writer: Task, reader: Task) -> bool:
    """Whether a transfer between neighbours lies between them."""
    return writer.stage != reader.stage and writer.phase.runs_per_microbatch


def make_timeline(
    schedule: Schedule, meshes: tuple[tuple[TimedTask, ...], ...], peak_in_flight: tuple[int, ...]
) -> Timeline:
    """The timeline of tasks whose times are known."""
    tasks = [timed for timed_tasks in meshes for timed in timed_tasks]
    makespan = max((timed.end_seconds for timed in tasks), default=0.0)
    busy = sum(timed.end_seconds - timed.start_seconds for timed in tasks)
    bubble = 1 - busy / (makespan * len(meshes)) if makespan > 0 else 0.0
    return Timeline(schedule, meshes, makespan, bubble, peak_in_flight)
