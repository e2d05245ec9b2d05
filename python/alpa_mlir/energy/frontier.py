"""`alpa_mlir.EnergyFrontier`: every time-energy point of a pipelined step, and plans for them.

Points are those of the relaxation with exponential costs, as Perseus (SOSP'24) defines and
publishes them. Plans are discrete: a frequency for every task, with what replay says they cost, and
the gap to the frontier of convex hulls, below which no plan can be.
"""

from __future__ import annotations

import csv
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from math import inf
from pathlib import Path

from alpa_mlir._native import Assignment, Horizon, Relaxation, TradeoffFrontier
from alpa_mlir.energy.drawing import Drawing, to_html, to_svg
from alpa_mlir.energy.frequencies import EnergyPlan, EnergyPoint, PlannedTask
from alpa_mlir.energy.problem import EnergyStep, StepProblem, make_problem
from alpa_mlir.errors import EnergyError
from alpa_mlir.files import replacing, write_text

# A plan may be as much later than its point as the reference's rounding, up to this.
_MOST_SLOWDOWN = 0.001
# The bound floors times to whole units: units of the bound are finer, while it stays quick.
_FINEST = 10
_MOST_BOUND_POINTS = 20_000
_MOST_UNITS = 2**20  # of a task or transfer: cpp/core/energy/EnergyProblem.cpp takes no more
_DEGREES = tuple(1 + step / 20 for step in range(11))


class EnergyFrontier:
    """The frontier of one step. Make it by `plan.energy(profile)` or `EnergyFrontier.of(step)`.

    Attributes:
      points: the slowest first, each a time unit faster than the one before. As published by
        Perseus: without the point at which all computations are at their slowest, and with those
        that take longer than the cheapest and cost more.
    """

    def __init__(self, step: EnergyStep, made: StepProblem, tradeoff: TradeoffFrontier) -> None:
        self.step = step
        self.tasks = made.tasks
        self._problem = made.problem
        self._tradeoff = tradeoff
        self._plans: dict[tuple[int, float | None], EnergyPlan] = {}

    @staticmethod
    def of(step: EnergyStep) -> EnergyFrontier:
        """Raises EnergyError where the profile does not fit the schedule."""
        made = make_problem(step)
        return EnergyFrontier(step, made, made.problem.solve(Relaxation.EXPONENTIAL))

    @cached_property
    def points(self) -> tuple[EnergyPoint, ...]:
        unit, slowest = self.step.unit_seconds, self._tradeoff.slowest_units
        watts = self._watts
        joules, first = self._tradeoff.joules, self._first
        times = [(slowest - k) * unit for k in range(first, len(joules))]
        return tuple(
            EnergyPoint(number, time, joules[number + first] + time * watts, self)
            for number, time in enumerate(times)
        )

    @property
    def fastest(self) -> EnergyPoint:
        return self.points[-1]

    @cached_property
    def cheapest(self) -> EnergyPoint:
        """The point of least energy, of several the fastest."""
        return min(reversed(self.points), key=lambda point: point.joules)

    @property
    def pareto(self) -> tuple[EnergyPoint, ...]:
        """The points that no other beats: from the cheapest to the fastest."""
        return self.points[self.cheapest.number :]

    def at(self, seconds: float) -> EnergyPoint:
        """The cheapest point that takes at most so long.

        Raises:
          EnergyError: even the fastest takes longer.
        """
        point = self._slowest_within(seconds)
        return point if point.seconds <= self.cheapest.seconds else self.cheapest

    def for_straggler(self, seconds: float) -> EnergyPoint:
        """The slowest point that takes at most so long: where all wait until then anyway, it is the
        cheapest. Its plan uses all of that time, and counts energy until it has ended.

        Raises:
          EnergyError: even the fastest takes longer, or the time is infinite.
        """
        return replace(self._slowest_within(seconds), straggler_seconds=seconds)

    def _slowest_within(self, seconds: float) -> EnergyPoint:
        fastest = self.fastest.seconds
        if not seconds >= fastest:
            raise EnergyError(
                f"expected at least {fastest:.9g} seconds, the fastest step, got {seconds:.9g}"
            )
        if seconds == inf:
            raise EnergyError("expected a step that ends at some time, got one of inf seconds")
        number = bisect_left(self.points, -seconds, key=lambda point: -point.seconds)
        return self.points[number]

    def plan(self, point: EnergyPoint) -> EnergyPlan:
        """Frequencies for a point: the better of two roundings, improved while the step keeps its
        time (at most 0.1 % more, where the reference's rounding takes as much).

        For a point of `for_straggler`, frequencies use all the time that the straggler takes, and
        devices wait until its end.
        """
        key = point.number, point.straggler_seconds
        if key not in self._plans:
            self._plans[key] = self._make_plan(point)
        return self._plans[key]

    @cached_property
    def stragglers(self) -> tuple[tuple[float, EnergyPlan], ...]:
        """Plans by degree of slow-down, 1.0 to 1.5: of the planned step, how much longer the
        slowest pipeline of the group takes."""
        base = self.plan(self.fastest).seconds
        return tuple((degree, self.plan(self.for_straggler(base * degree))) for degree in _DEGREES)

    def plan_for_straggler(self, degree: float) -> EnergyPlan:
        """The plan of the table of `stragglers` that is not slower than a straggler of that degree;
        a look-up.

        Raises:
          EnergyError: the degree is below 1.
        """
        count = bisect_right(self.stragglers, degree, key=lambda row: row[0])
        if not count:
            raise EnergyError(f"expected a degree of slow-down of at least 1, got {degree}")
        return self.stragglers[count - 1][1]

    def verify(self) -> None:
        """Replays every point.

        Raises:
          EnergyError: one is not what it says.
        """
        try:
            self._problem.verify(Relaxation.EXPONENTIAL, self._tradeoff)
        except RuntimeError as error:
            raise EnergyError(str(error)) from None

    def explain(self) -> str:
        """The ends of the frontier and their plans, as text."""
        step = self.step
        lines = [
            f"energy of a step: {step.num_stages} stages, {step.num_microbatches} microbatches, "
            f"{step.schedule}; {len(self.points)} points, {self.fastest.seconds:.6g} to "
            f"{self.points[0].seconds:.6g} s",
            f"all at the highest clock: {self._highest[0]:.6g} s, {self._highest[1]:.6g} J",
        ]
        for name, point in (("fastest", self.fastest), ("cheapest", self.cheapest)):
            plan = self.plan(point)
            lines.append(
                f"{name}: {point.seconds:.6g} s, {point.joules:.6g} J; planned "
                f"{plan.seconds:.6g} s ({plan.seconds / self._highest[0] - 1:+.2%}), "
                f"{plan.joules:.6g} J ({plan.joules / self._highest[1] - 1:+.2%}), within "
                f"{plan.gap:.2%} of the bound {plan.bound_joules:.6g} J"
            )
        if step.profile.source:
            lines.append(f"profile: {step.profile.source}")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Writes profile and schedule, of which `load` makes the same frontier.

        Raises:
          EnergyError: the file cannot be written; it is what it was.
        """
        self.step.save(path)

    @staticmethod
    def load(path: str | Path) -> EnergyFrontier:
        """Reads what `save` wrote.

        Raises:
          EnergyError: the file is not a frontier of this version.
        """
        try:
            return EnergyFrontier.of(EnergyStep.from_json(json.loads(Path(path).read_text())))
        except (OSError, ValueError, RecursionError, EnergyError) as error:
            raise EnergyError(f"cannot read the frontier {path}: {error}") from None

    def to_csv(self, path: str | Path) -> None:
        """Writes the points as time,energy, the format of Perseus' published frontiers.

        Raises:
          EnergyError: the file cannot be written; it is what it was.
        """
        with replacing(path, EnergyError) as beside, beside.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("time", "energy"))
            writer.writerows((point.seconds, point.joules) for point in self.points)

    def plot(self, path: str | Path, plan: EnergyPlan | None = None) -> None:
        """Draws the frontier and the timelines at the highest clock and of a plan (None: that of
        the fastest point), coloured by power; an HTML page for a path that ends so, else an SVG.

        Raises:
          EnergyError: the file cannot be written; it is what it was.
        """
        drawing = self._drawing(plan or self.plan(self.fastest))
        is_page = Path(path).suffix in (".html", ".htm")
        text = to_html(drawing, self.explain()) if is_page else to_svg(drawing)
        write_text(path, text, EnergyError)

    def _repr_html_(self) -> str:
        """For notebooks: what `plot` draws, below what `explain` says."""
        picture = to_svg(self._drawing(self.plan(self.fastest)))
        return f'<pre>{escape(self.explain())}</pre><div style="overflow-x:auto">{picture}</div>'

    def _drawing(self, plan: EnergyPlan) -> Drawing:
        return Drawing(
            points=tuple((point.seconds, point.joules) for point in self.points),
            highest=self._highest,
            marked={"planned": (plan.seconds, plan.joules)},
            timelines={
                "all at the highest clock": self._planned_tasks(self._problem.fastest()),
                "planned": plan.stages,
            },
            blocking_watts=self.step.profile.blocking_watts,
        )

    @property
    def _first(self) -> int:
        """Where `points` begin: behind the slowest, unless there is no other."""
        return min(1, len(self._tradeoff) - 1)

    @property
    def _watts(self) -> float:
        watts = self.step.profile.blocking_watts
        # Equal stages as the reference multiplies them.
        return len(watts) * watts[0] if len(set(watts)) == 1 else sum(watts)

    @cached_property
    def _highest(self) -> tuple[float, float]:
        """Seconds and joules where every task is as fast as it can be."""
        replay = self._problem.replay(self._problem.fastest())
        return replay.makespan_seconds, replay.joules

    @cached_property
    def _bound(self) -> tuple[StepProblem, TradeoffFrontier]:
        most = min(
            _MOST_BOUND_POINTS // len(self.points), _MOST_UNITS // self._tradeoff.slowest_units
        )
        fineness = min(_FINEST, max(1, most))
        made = make_problem(self.step, self.step.unit_seconds / fineness)
        return made, made.problem.solve(Relaxation.HULL)

    def _hull_point(self, deadline_seconds: float) -> int:
        """The slowest point of the bound within a deadline."""
        made, hull = self._bound
        units = int(deadline_seconds * (1 + 1e-12) / made.problem.unit_seconds)
        return min(max(hull.slowest_units - units, 0), len(hull) - 1)

    def _bound_joules(self, deadline_seconds: float, horizon: Horizon) -> float:
        made, hull = self._bound
        first = self._hull_point(deadline_seconds)
        joules = hull.joules[first:]  # a copy, made once
        if horizon == Horizon.DEADLINE:
            return joules[0] + self._watts * deadline_seconds
        slowest, unit = hull.slowest_units - first, made.problem.unit_seconds
        return min(
            each + self._watts * (slowest - number) * unit for number, each in enumerate(joules)
        )

    def _make_plan(self, point: EnergyPoint) -> EnergyPlan:
        problem, straggler_seconds = self._problem, point.straggler_seconds
        rounded = problem.round(self._tradeoff.units_at(point.number + self._first))
        replayed = problem.replay(rounded)
        horizon = Horizon.MAKESPAN if straggler_seconds is None else Horizon.DEADLINE
        deadline = straggler_seconds
        if deadline is None:  # times were floored: what the step takes more than its units
            planned = self._highest[0] + (point.seconds - self.fastest.seconds)
            most = planned * (1 + _MOST_SLOWDOWN)
            deadline = max(planned, min(replayed.makespan_seconds, most))
        best = self._assign(rounded, deadline, horizon)
        replay = problem.replay(best.choices)
        waiting = max(deadline - replay.makespan_seconds, 0) if straggler_seconds else 0
        return EnergyPlan(
            point=point,
            stages=self._planned_tasks(best.choices),
            seconds=replay.makespan_seconds,
            joules=replay.joules + self._watts * waiting,
            bound_joules=self._bound_joules(max(deadline, replay.makespan_seconds), horizon),
            rounded_seconds=replayed.makespan_seconds,
            rounded_joules=replayed.joules,
            is_optimal=best.is_optimal,
        )

    def _assign(self, rounded: list[int], deadline: float, horizon: Horizon) -> Assignment:
        made, hull = self._bound
        from_hull = made.problem.round(hull.units_at(self._hull_point(deadline)))
        plans = [self._problem.assign(start, deadline, horizon) for start in (rounded, from_hull)]
        watts = self._watts if horizon == Horizon.MAKESPAN else 0.0
        return min(plans, key=lambda p: p.effective_joules + watts * p.makespan_seconds)

    def _planned_tasks(self, choices: Sequence[int]) -> tuple[tuple[PlannedTask, ...], ...]:
        """By stage, as the choices make them run."""
        starts = self._problem.replay(list(choices)).start_seconds
        measured = [kind.choices for kind in self._problem.kinds]
        rows: list[list[PlannedTask]] = [[] for _ in range(self.step.num_stages)]
        for task, choice, computation, start in zip(
            self.tasks, choices, self._problem.computations, starts, strict=True
        ):
            if task is None:
                continue
            chosen = measured[computation.kind][choice]
            end = start + chosen.seconds
            planned = PlannedTask(task, chosen.megahertz, start, end, chosen.joules)
            rows[computation.device].append(planned)
        return tuple(map(tuple, rows))
