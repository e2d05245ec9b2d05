"""What the tasks of a pipeline read and write: the description instructions are made from.

Values are told apart by how often they exist in a step. *Batch* values and what forward and
backward tasks write exist once per microbatch. *State* (parameters, optimizer state) and what
updates write exist once. *Accumulated* values are written per microbatch and read as their sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.schedule import Phase, Schedule, Task


@dataclass(frozen=True)
class Signature:
    """The values a (stage, phase) reads and writes, by name."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Buffer:
    """A value on one mesh; `microbatch` is None for what exists once in a step."""

    value: str
    microbatch: int | None = None

    def __str__(self) -> str:
        return self.value if self.microbatch is None else f"{self.value}.{self.microbatch}"


@dataclass(frozen=True)
class PipelineValues:
    """All values of a step.

    Attributes:
      signatures: by stage and phase; phases a stage does not have are left out.
      state, batch: what is there before the step, on every mesh that reads it or keeps it.
      accumulated: forward and backward outputs that are summed over microbatches.
      kept: the stages on whose meshes a value must be when the step has ended. All else is freed,
        state included: its memory is the next state's.
    """

    signatures: Mapping[tuple[int, Phase], Signature]
    state: frozenset[str] = frozenset()
    batch: frozenset[str] = frozenset()
    accumulated: frozenset[str] = frozenset()
    kept: Mapping[str, frozenset[int]] = field(default_factory=dict[str, frozenset[int]])

    def signature(self, task: Task) -> Signature:
        return self.signatures.get((task.stage, task.phase), Signature((), ()))

    def inputs(self, task: Task) -> tuple[Buffer, ...]:
        return tuple(self.as_read(value, task.microbatch) for value in self.signature(task).inputs)

    def outputs(self, task: Task) -> tuple[Buffer, ...]:
        """As the task writes them: accumulated ones are parts of one microbatch."""
        microbatch = None if task.phase == Phase.UPDATE else task.microbatch
        return tuple(Buffer(value, microbatch) for value in self.signature(task).outputs)

    def as_read(self, value: str, microbatch: int) -> Buffer:
        return Buffer(value, microbatch if self._is_per_microbatch(value) else None)

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
                microbatches = schedule.num_microbatches if self._is_per_microbatch(value) else 1
                for microbatch in range(microbatches):
                    yield schedule.mesh_of_stage[stage], self.as_read(value, microbatch)

    def check(self) -> None:
        """Raises ScheduleError for a value without one origin, or read where it cannot be."""
        origins = self._origins()
        for value in sorted(self.accumulated - origins.keys()) + sorted(
            self.kept.keys() - origins.keys()
        ):
            raise ScheduleError(f"expected a task that writes '{value}', or state, got none")
        for (stage, phase), signature in self.signatures.items():
            where = f"{phase.name.lower()} of stage {stage}"
            for value in signature.inputs:
                if value not in origins:
                    raise ScheduleError(
                        f"{where}: expected '{value}' to be state, a batch value or some task's "
                        "output, got none of them"
                    )
                self._check_phase(value, phase, origins[value], where)

    def _check_phase(self, value: str, phase: Phase, origin: Phase | None, where: str) -> None:
        if phase == Phase.UPDATE and self._is_per_microbatch(value):
            raise ScheduleError(
                f"{where}: expected a value that exists once, got '{value}', which exists once "
                "per microbatch; accumulate it"
            )
        if phase != Phase.UPDATE and (origin == Phase.UPDATE or value in self.accumulated):
            raise ScheduleError(
                f"{where}: expected a value that is known before the update, got '{value}'"
            )

    def _origins(self) -> dict[str, Phase | None]:
        """The phase that writes each value; None for state and batch values."""
        origins: dict[str, Phase | None] = dict.fromkeys(sorted(self.state))
        given = [(value, None) for value in sorted(self.batch)]
        written = [
            (value, phase)
            for (_, phase), signature in self.signatures.items()
            for value in signature.outputs
        ]
        for value, phase in [*given, *written]:
            if value in origins:
                raise ScheduleError(f"expected one origin of '{value}', got two")
            if phase in (None, Phase.UPDATE) and value in self.accumulated:
                raise ScheduleError(
                    f"expected '{value}' to be written by forward or backward tasks, since it is "
                    f"accumulated, got {'the batch' if phase is None else 'an update'}"
                )
            origins[value] = phase
        return origins

    def _is_per_microbatch(self, value: str) -> bool:
        """As readers see it."""
        if value in self.batch:
            return True
        if value in self.state or value in self.accumulated:
            return False
        return value not in self._written_by_updates

    @cached_property
    def _written_by_updates(self) -> frozenset[str]:
        return frozenset(
            value
            for (_, phase), signature in self.signatures.items()
            if phase == Phase.UPDATE
            for value in signature.outputs
        )
