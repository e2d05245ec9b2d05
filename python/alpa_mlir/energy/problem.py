"""The energy problem of a schedule: tasks and transfers as a DAG, with choices from a profile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Le

from alpa_mlir._native import Computation, ComputationKind, EnergyProblem, FrequencyChoice
from alpa_mlir.energy.profile import PHASES, EnergyProfile, Instruction
from alpa_mlir.errors import EnergyError
from alpa_mlir.fields import (
    AS_WRITTEN,
    Checked,
    Count,
    Seconds,
    WholeNumber,
    check,
    read,
    without_version,
)
from alpa_mlir.files import write_text
from alpa_mlir.plan.data import ScheduleName
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS, make_schedule
from alpa_mlir.schedule.schedule import Phase, Schedule, Task, TaskKind

_VERSION = 1
_ADVICE = "make it again"
_LINK = -1  # a device that draws no power
UnitSeconds = Annotated[float, Gt(0), Le(1e6), AS_WRITTEN]


@dataclass(frozen=True)
class EnergyStep(Checked):
    """What determines a frontier.

    Attributes:
      send_forward_seconds: per stage, of one microbatch's transfer to the next; empty is no time.
        send_backward_seconds: to the previous.
      load_seconds: until the first stage has the data of one microbatch, behind those before it.
      unit_seconds: times are planned in whole units.
      prologue_stage, num_update_rounds: as of `make_schedule`. Rounds share the time and energy
        of their stage's update equally.
    """

    profile: EnergyProfile
    schedule: ScheduleName
    num_stages: Count
    num_microbatches: Count
    unit_seconds: UnitSeconds = 0.001
    prologue_stage: WholeNumber | None = None
    num_update_rounds: WholeNumber | None = None
    send_forward_seconds: tuple[Seconds, ...] = ()
    send_backward_seconds: tuple[Seconds, ...] = ()
    load_seconds: Seconds = 0.0

    def __post_init__(self) -> None:
        check(self, EnergyError)
        if len(self.profile.blocking_watts) != self.num_stages:
            raise EnergyError(
                f"expected the blocking power of {self.num_stages} stages, got "
                f"{len(self.profile.blocking_watts)}; profile every stage of the pipeline"
            )
        for sends in (self.send_forward_seconds, self.send_backward_seconds):
            if len(sends) not in (0, self.num_stages):
                raise EnergyError(
                    f"expected transfers of {self.num_stages} stages or none, got {len(sends)}"
                )

    def make_schedule(self) -> Schedule:
        return make_schedule(
            SCHEDULE_KINDS[self.schedule],
            self.num_stages,
            self.num_microbatches,
            self.prologue_stage,
            self.num_update_rounds,
        )

    def save(self, path: str | Path) -> None:
        """Writes what determines the frontier, as JSON.

        Raises:
          EnergyError: the file cannot be written; it is what it was.
        """
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n", EnergyError)

    def to_json(self) -> dict[str, Any]:
        return {"version": _VERSION, **asdict(self)}

    @staticmethod
    def from_json(data: object) -> EnergyStep:
        """Raises EnergyError where `data` is of another version, or a field of it is wrong."""
        values = without_version(data, _VERSION, "a frontier", EnergyError, _ADVICE)
        return read(EnergyStep, values, EnergyError, _ADVICE)


@dataclass(frozen=True)
class StepProblem:
    """Attributes:
    tasks: of the computations, in their order; None for a transfer.
    """

    problem: EnergyProblem
    tasks: tuple[Task | None, ...]


def make_problem(step: EnergyStep, unit_seconds: float | None = None) -> StepProblem:
    """The problem, checked.

    Updates and prologues that the profile does not have are left out, as the paper does.

    Raises:
      EnergyError: a stage lacks its forward or backward, or what the problem's check names.
    """
    builder = _Builder(step)
    problem = EnergyProblem(
        kinds=builder.kinds,
        computations=builder.computations,
        dependencies=builder.dependencies,
        blocking_watts=list(step.profile.blocking_watts),
        unit_seconds=step.unit_seconds if unit_seconds is None else unit_seconds,
    )
    try:
        problem.check()
    except ValueError as error:
        raise EnergyError(f"{error}") from None
    return StepProblem(problem, tuple(builder.tasks))


class _Builder:
    def __init__(self, step: EnergyStep) -> None:
        self.kinds: list[ComputationKind] = []
        self.computations: list[Computation] = []
        self.dependencies: list[tuple[int, int]] = []
        self.tasks: list[Task | None] = []
        self._schedule = step.make_schedule()
        self._kind_of: dict[TaskKind, int] = {}
        self._index: dict[Task, int] = {}
        self._add_kinds(step.profile)
        self._check_profiled()
        self._add_tasks()
        self._add_transfers(Phase.FORWARD, step.send_forward_seconds, 1)
        self._add_transfers(Phase.BACKWARD, step.send_backward_seconds, -1)
        self._add_loads(step.load_seconds)

    def _add_kinds(self, profile: EnergyProfile) -> None:
        choices: dict[tuple[int, Instruction], list[FrequencyChoice]] = {}
        for each in profile.choices:
            runs = max(self._schedule.num_update_rounds, 1) if each.instruction == "update" else 1
            choice = FrequencyChoice(each.frequency, each.time / runs, each.energy / runs)
            choices.setdefault((each.stage, each.instruction), []).append(choice)
        for (stage, instruction), found in choices.items():
            name = f"{instruction} of stage {stage}"
            self._kind_of[TaskKind(stage, PHASES[instruction])] = len(self.kinds)
            is_fixed = instruction in profile.fixed or (stage, instruction) in profile.fixed_tasks
            self.kinds.append(ComputationKind(name, found, is_fixed))

    def _check_profiled(self) -> None:
        needed = [Phase.FORWARD, Phase.BACKWARD]
        for stage in range(self._schedule.num_stages):
            for phase in needed if self._schedule.has_backward else needed[:1]:
                if TaskKind(stage, phase) not in self._kind_of:
                    raise EnergyError(
                        f"expected the {phase.name.lower()} of stage {stage} in the profile, got "
                        "nothing; profile every stage of the pipeline"
                    )

    def _add(self, kind: int, device: int, task: Task | None) -> int:
        self.computations.append(Computation(kind, device))
        self.tasks.append(task)
        return len(self.tasks) - 1

    def _add_tasks(self) -> None:
        for mesh, tasks in enumerate(self._schedule.meshes):
            before: int | None = None
            for task in tasks:
                kind = self._kind_of.get(TaskKind(task.stage, task.phase))
                if kind is None:
                    continue
                index = self._index[task] = self._add(kind, mesh, task)
                if before is not None:
                    self.dependencies.append((before, index))
                before = index
        for task, index in self._index.items():
            for needed in self._schedule.dependencies(task):
                if needed in self._index:
                    self.dependencies.append((self._index[needed], index))

    def _add_transfers(self, phase: Phase, seconds: tuple[float, ...], direction: int) -> None:
        for stage, time in enumerate(seconds):
            if 0 <= stage + direction < self._schedule.num_stages:
                sent = [
                    (task, Task(stage + direction, phase, task.microbatch))
                    for task in self._tasks_in_order(stage, phase)
                ]
                self._add_link(f"transfer from stage {stage} to {stage + direction}", time, sent)

    def _add_loads(self, seconds: float) -> None:
        readers = [(None, task) for task in self._tasks_in_order(0, Phase.FORWARD)]
        self._add_link("loading of data", seconds, readers)

    def _add_link(
        self, name: str, seconds: float, sent: Sequence[tuple[Task | None, Task]]
    ) -> None:
        """Carries one thing at a time, in this order; each of a sender, if any, and a receiver."""
        if seconds == 0:
            return
        self.kinds.append(ComputationKind(name, [FrequencyChoice(0, seconds, 0)], True))
        before: int | None = None
        for sender, receiver in sent:
            if receiver not in self._index:
                continue
            index = self._add(len(self.kinds) - 1, _LINK, None)
            self.dependencies.append((index, self._index[receiver]))
            if sender is not None:
                self.dependencies.append((self._index[sender], index))
            if before is not None:
                self.dependencies.append((before, index))
            before = index

    def _tasks_in_order(self, stage: int, phase: Phase) -> Iterator[Task]:
        for task in self._schedule.meshes[self._schedule.mesh_of_stage[stage]]:
            if task.stage == stage and task.phase == phase:
                yield task
