"""A plan of frequencies: one for every task of a step, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

from alpa_mlir.schedule.schedule import Task


class PlansPoints(Protocol):
    """A frontier."""

    def plan(self, point: EnergyPoint) -> EnergyPlan: ...


@dataclass(frozen=True, slots=True)
class EnergyPoint:
    """Attributes:
    number: of the frontier, from the slowest on.
    seconds: of the step; joules: of all devices in that time, by the relaxation.
    frontier: that it is a point of.
    straggler_seconds: how long a step takes elsewhere, if it is planned for that.
    """

    number: int
    seconds: float
    joules: float
    frontier: PlansPoints = field(repr=False, compare=False)
    straggler_seconds: float | None = field(default=None, compare=False)

    def plan(self) -> EnergyPlan:
        """Frequencies for it."""
        return self.frontier.plan(self)


class PlannedTask(NamedTuple):
    """A task with its frequency; joules are those of all devices of its stage while it runs."""

    task: Task
    megahertz: float
    start_seconds: float
    end_seconds: float
    joules: float

    @property
    def watts(self) -> float:
        seconds = self.end_seconds - self.start_seconds
        return self.joules / seconds if seconds > 0 else 0.0


@dataclass(frozen=True)
class EnergyPlan:
    """A frequency for every task.

    Attributes:
      stages: the tasks of each stage in order, as they would run.
      seconds, joules: of a step, by replay of the measured choices; for a straggler, joules until
        it has ended.
      bound_joules: no plan that takes as long costs less.
      rounded_seconds, rounded_joules: of the reference's rounding of the same point.
      is_optimal: whether it is proved to be the best by exhaustion.
    """

    point: EnergyPoint
    stages: tuple[tuple[PlannedTask, ...], ...]
    seconds: float
    joules: float
    bound_joules: float
    rounded_seconds: float
    rounded_joules: float
    is_optimal: bool

    @property
    def gap(self) -> float:
        """The part of its energy that may be unnecessary."""
        return max(0.0, 1 - self.bound_joules / self.joules) if self.joules > 0 else 0.0

    @cached_property
    def frequencies(self) -> dict[Task, float]:
        """Megahertz by task."""
        return {planned.task: planned.megahertz for tasks in self.stages for planned in tasks}
