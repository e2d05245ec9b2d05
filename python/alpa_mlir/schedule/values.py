"""What the tasks of a pipeline read and write: the description instructions are made from.

Values are told apart by how often they exist in a step. *Batch* values and what forward and
backward tasks write exist once per microbatch. *State* (parameters, optimizer state) and what the
prologue and updates write exist once. *Accumulated* values are sums over microbatches: a task that
writes one reads it too, and adds its microbatch's part in place (of a single microbatch, the part
is the sum, and need not be read). Tasks that run once read a batch value as a whole, a buffer apart
from its microbatches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.schedule import Phase, Schedule, Task, TaskKind


@dataclass(frozen=True)
class Signature:
    """The values a kind of task reads and writes, by name, in the order of its executable."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def sums(self) -> tuple[str, ...]:
        """The values it adds to in place."""
        read = set(self.inputs)
        return tuple(value for value in self.outputs if value in read)


class Buffer(NamedTuple):
    """A value on one mesh; `microbatch` is None for what exists once in a step."""

    value: str
    microbatch: int | None = None

    def __str__(self) -> str:
        return self.value if self.microbatch is None else f"{self.value}.{self.microbatch}"


@dataclass(frozen=True)
class PipelineValues:
    """All values of a step.

    Attributes:
      signatures: of every kind of task that has work to do.
      state, batch: what is there before the step, on every mesh that reads it or keeps it.
      accumulated: forward and backward outputs that are summed over microbatches.
      kept: the stages on whose meshes a value must be when the step has ended. All else is freed,
        state included: its memory is the next state's.
    """

    signatures: Mapping[TaskKind, Signature]
    state: frozenset[str] = frozenset()
    batch: frozenset[str] = frozenset()
    accumulated: frozenset[str] = frozenset()
    kept: Mapping[str, frozenset[int]] = field(default_factory=dict[str, frozenset[int]])

    def working_tasks(self, schedule: Schedule) -> tuple[tuple[Task, ...], ...]:
        """The tasks of each mesh, without those that have nothing to do."""
        return tuple(
            tuple(task for task in tasks if task.kind in self.signatures)
            for tasks in schedule.meshes
        )

    def signature(self, task: Task) -> Signature:
        return self.signatures.get(task.kind, Signature((), ()))

    def inputs(self, task: Task) -> tuple[Buffer, ...]:
        microbatch = task.microbatch if task.phase.runs_per_microbatch else None
        return tuple(self.as_read(value, microbatch) for value in self.signature(task).inputs)

    def outputs(self, task: Task) -> tuple[Buffer, ...]:
        microbatch = task.microbatch if task.phase.runs_per_microbatch else None
        return tuple(self.as_read(value, microbatch) for value in self.signature(task).outputs)

    def as_read(self, value: str, microbatch: int | None) -> Buffer:
        return Buffer(value, microbatch if self.is_per_microbatch(value) else None)

    def initial_buffers(self, schedule: Schedule) -> Iterator[tuple[int, Buffer]]:
        """Mesh and buffer of all that is there before the step; some come more than once."""
        readers = [(task, self.inputs(task)) for tasks in schedule.meshes for task in tasks]
        for task, buffers in readers:
            for buffer in buffers:
                if buffer.value in self.state or buffer.value in self.batch:
                    yield schedule.mesh_of_stage[task.stage], buffer
        for mesh, buffer in self.final_buffers(schedule):
            if buffer.value in self.state or buffer.value in self.batch:
                yield mesh, buffer

    def final_buffers(self, schedule: Schedule) -> Iterator[tuple[int, Buffer]]:
        """Mesh and buffer of all that must be there after the step."""
        for value, stages in sorted(self.kept.items()):
            for stage in sorted(stages):
                microbatches = schedule.num_microbatches if self.is_per_microbatch(value) else 1
                for microbatch in range(microbatches):
                    yield schedule.mesh_of_stage[stage], self.as_read(value, microbatch)

    def check(self) -> None:
        """Raises ScheduleError for a value without one origin, or read where it cannot be."""
        origins = self._origins()
        for value in sorted(self.accumulated - origins.keys()) + sorted(
            self.kept.keys() - origins.keys()
        ):
            raise ScheduleError(f"expected a task that writes '{value}', or state, got none")
        for kind, signature in self.signatures.items():
            where = f"{kind.phase.name.lower()} of stage {kind.stage}"
            for value in signature.inputs:
                if value not in origins:
                    raise ScheduleError(
                        f"{where}: expected '{value}' to be state, a batch value or some task's "
                        "output, got none of them"
                    )
                self._check_read(value, kind, origins[value], where)

    def _check_read(self, value: str, kind: TaskKind, origin: TaskKind | None, where: str) -> None:
        if kind.phase == Phase.PROLOGUE and origin:
            raise ScheduleError(
                f"{where}: expected state or a batch value, since it runs first, got '{value}' of "
                f"{origin}"
            )
        if not kind.phase.runs_per_microbatch and origin and self.is_per_microbatch(value):
            raise ScheduleError(
                f"{where}: expected a value that exists once, got '{value}', which exists once "
                "per microbatch; accumulate it"
            )
        update = origin if origin and origin.phase == Phase.UPDATE else None
        is_unfinished = value in self.accumulated and origin != kind
        if kind.phase.runs_per_microbatch and (update or is_unfinished):
            raise ScheduleError(
                f"{where}: expected a value that is known before the update, got '{value}'"
            )
        if update and update.round >= kind.round:
            raise ScheduleError(
                f"{where}: expected round {kind.round} of the update to read what earlier rounds "
                f"wrote, got '{value}' of {update}"
            )

    def _origins(self) -> dict[str, TaskKind | None]:
        """What writes each value; None for state and batch values."""
        origins: dict[str, TaskKind | None] = {}
        there = [(value, None) for value in (*sorted(self.state), *sorted(self.batch))]
        written = [
            (value, kind)
            for kind, signature in self.signatures.items()
            for value in signature.outputs
        ]
        for value, kind in [*there, *written]:
            if value in origins:
                raise ScheduleError(f"expected one origin of '{value}', got two")
            if value in self.accumulated and not (kind and kind.phase.runs_per_microbatch):
                given = "state" if value in self.state else "the batch"
                raise ScheduleError(
                    f"expected '{value}' to be written by forward or backward tasks, since it is "
                    f"accumulated, got {f'task {kind}' if kind else given}"
                )
            origins[value] = kind
        return origins

    def is_per_microbatch(self, value: str) -> bool:
        """As forward and backward tasks read it."""
        if value in self.batch:
            return True
        if value in self.state or value in self.accumulated:
            return False
        return value not in self._written_once

    @cached_property
    def _written_once(self) -> frozenset[str]:
        return frozenset(
            value
            for kind, signature in self.signatures.items()
            if not kind.phase.runs_per_microbatch
            for value in signature.outputs
        )
