"""A schedule as data: for every mesh the tasks it runs, in order. `kinds` makes the usual ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from alpa_mlir.errors import ScheduleError


class Phase(Enum):
    """The part of a training step. The value is its letter in printed schedules."""

    PROLOGUE = "P"
    FORWARD = "F"
    BACKWARD = "B"
    UPDATE = "U"

    # Enum's own hash is a call of Python, and steps of many microbatches look up many tasks.
    __hash__ = object.__hash__

    @property
    def runs_per_microbatch(self) -> bool:
        return self in (Phase.FORWARD, Phase.BACKWARD)


class TaskKind(NamedTuple):
    """What tasks have in common that differ in their microbatch only: they run one executable."""

    stage: int
    phase: Phase
    round: int = 0

    def __str__(self) -> str:
        return f"{self.phase.value}{self.stage}" + (f".r{self.round}" if self.round else "")


class Task(NamedTuple):
    """One phase of one stage for one microbatch.

    Attributes:
      microbatch: 0 for the prologue and for updates, which run once.
      round: of an update. Round r + 1 may read what round r of any stage wrote. 0 for the others.
    """

    stage: int
    phase: Phase
    microbatch: int = 0
    round: int = 0

    @property
    def kind(self) -> TaskKind:
        return TaskKind(self.stage, self.phase, self.round)

    def __str__(self) -> str:
        microbatch = f".{self.microbatch}" if self.phase.runs_per_microbatch else ""
        return f"{self.kind}{microbatch}"


@dataclass(frozen=True)
class Schedule:
    """What every mesh does, in order; a mesh runs one task at a time.

    Every stage has every phase and every round of the update, but for the prologue, which is one
    task of the whole step. Tasks for which a stage has no work (`PipelineValues.signatures`) become
    no instruction.

    Attributes:
      meshes: the tasks of each mesh.
      max_in_flight: per stage, how many microbatches it holds activations of at most. Memory was
        planned with these counts.
    """

    name: str
    num_stages: int
    num_microbatches: int
    meshes: tuple[tuple[Task, ...], ...]
    max_in_flight: tuple[int, ...]

    @cached_property
    def has_backward(self) -> bool:
        return any(task.phase == Phase.BACKWARD for tasks in self.meshes for task in tasks)

    @cached_property
    def prologue(self) -> Task | None:
        prologues = (t for tasks in self.meshes for t in tasks if t.phase == Phase.PROLOGUE)
        return next(prologues, None)

    @cached_property
    def num_update_rounds(self) -> int:
        updates = (t for tasks in self.meshes for t in tasks if t.phase == Phase.UPDATE)
        return max((task.round + 1 for task in updates), default=0)

    @cached_property
    def mesh_of_stage(self) -> dict[int, int]:
        """The mesh that runs each stage."""
        return {task.stage: mesh for mesh, tasks in enumerate(self.meshes) for task in tasks}

    def dependencies(self, task: Task) -> Iterator[Task]:
        """The tasks that must end before `task`, whatever the mesh."""
        match task.phase:
            case Phase.PROLOGUE:
                pass
            case Phase.FORWARD:
                if self.prologue:
                    yield self.prologue
                if task.stage > 0:
                    yield Task(task.stage - 1, Phase.FORWARD, task.microbatch)
            case Phase.BACKWARD:
                yield Task(task.stage, Phase.FORWARD, task.microbatch)
                if task.stage + 1 < self.num_stages:
                    yield Task(task.stage + 1, Phase.BACKWARD, task.microbatch)
            case Phase.UPDATE if task.round == 0:
                last = Phase.BACKWARD if self.has_backward else Phase.FORWARD
                yield from (Task(task.stage, last, k) for k in range(self.num_microbatches))
            case Phase.UPDATE:
                for stage in range(self.num_stages):
                    yield Task(stage, Phase.UPDATE, round=task.round - 1)

    def peak_in_flight(self) -> tuple[int, ...]:
        """Per stage, the microbatches whose forward has begun and whose backward has not ended.

        A mesh runs one task at a time, so this follows from the order alone. Without a backward a
        forward holds its activations while it runs.
        """
        held, peak = [0] * self.num_stages, [0] * self.num_stages
        has_backward = self.has_backward
        for task in (task for tasks in self.meshes for task in tasks):
            if task.phase == Phase.FORWARD:
                held[task.stage] += 1
                peak[task.stage] = max(peak[task.stage], held[task.stage])
            if task.phase == (Phase.BACKWARD if has_backward else Phase.FORWARD):
                held[task.stage] -= 1
        return tuple(peak)

    def verify(self) -> None:
        """Proves that the schedule runs to its end and holds what it promised to hold.

        Raises:
          ScheduleError: a task is lacking, unknown or there twice; a stage is on two meshes; tasks
            wait for one another for ever; or activations in flight are not as stated.
        """
        self.verify_tasks()
        self._verify_meshes()
        self._verify_progress()
        if self.peak_in_flight() != self.max_in_flight:
            raise ScheduleError(
                f"expected at most {self.max_in_flight} microbatches in flight per stage in "
                f"schedule '{self.name}', got {self.peak_in_flight()}"
            )

    def verify_tasks(self) -> None:
        """Proves that every task is there once, and none that is unknown.

        Raises:
          ScheduleError: it names the first that is not.
        """
        counts = Counter(task for tasks in self.meshes for task in tasks)
        phases = {Phase.FORWARD, Phase.BACKWARD} if self.has_backward else {Phase.FORWARD}
        expected = {
            Task(stage, phase, microbatch)
            for stage in range(self.num_stages)
            for phase in phases
            for microbatch in range(self.num_microbatches)
        }
        expected |= {
            Task(stage, Phase.UPDATE, round=update_round)
            for stage in range(self.num_stages)
            for update_round in range(self.num_update_rounds)
        }
        if self.prologue:
            expected.add(Task(min(self.prologue.stage, self.num_stages - 1), Phase.PROLOGUE))
        wrong = [t for t in expected | set(counts) if counts[t] != (t in expected)]
        for task in sorted(wrong, key=str):
            raise ScheduleError(
                f"expected task {task} {int(task in expected)} times in schedule '{self.name}' of "
                f"{self.num_stages} stages and {self.num_microbatches} microbatches, got "
                f"{counts[task]}"
            )

    def _verify_meshes(self) -> None:
        homes: dict[int, int] = {}
        for mesh, tasks in enumerate(self.meshes):
            for task in tasks:
                home = homes.setdefault(task.stage, mesh)
                if home != mesh:
                    raise ScheduleError(
                        f"expected stage {task.stage} on one mesh, got {home} and {mesh}: its "
                        "parameters live on one"
                    )

    def _verify_progress(self) -> None:
        done: set[Task] = set()
        queues = [list(reversed(tasks)) for tasks in self.meshes]
        has_moved = True
        while has_moved:
            has_moved = False
            for queue in queues:
                while queue and done.issuperset(self.dependencies(queue[-1])):
                    done.add(queue.pop())
                    has_moved = True
        waiting = [f"mesh {mesh} at {queue[-1]}" for mesh, queue in enumerate(queues) if queue]
        if waiting:
            raise ScheduleError(
                f"expected schedule '{self.name}' to run to its end, got a deadlock: "
                + ", ".join(waiting)
            )

    def __str__(self) -> str:
        lines = [
            f"mesh {mesh}: " + " ".join(map(str, tasks)) for mesh, tasks in enumerate(self.meshes)
        ]
        return "\n".join([f"{self.name}, {self.num_microbatches} microbatches", *lines])
