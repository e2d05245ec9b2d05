"""Chooses stages, number of microbatches and schedule: the stage DP over all alternatives.

The problem and its exact solver are C++ (cpp/core/stages). Microbatch size changes every cost, so
each number of microbatches is a problem of its own; each schedule too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isclose

from alpa_mlir._native import ScheduleKind, StageProblem, max_in_flight
from alpa_mlir.errors import ArgumentError, InfeasibleError, SolverError


@dataclass(frozen=True)
class ChosenStage:
    """Layers [first_layer, end_layer) on `submesh`, whose devices start at `first_device`.

    Attributes:
      candidate: index into the candidates it was chosen from.
      num_in_flight: microbatches whose activations it holds at most.
      memory_bytes: peak of one of its devices.
    """

    candidate: int
    first_layer: int
    end_layer: int
    submesh: tuple[int, int]
    first_device: int
    num_in_flight: int
    memory_bytes: int


@dataclass(frozen=True, eq=False)
class StageSolution:
    """Stages in order, and what the step takes.

    `step_seconds` is latency + (num_microbatches - 1) * period + update.
    """

    problem: StageProblem = field(repr=False)
    stages: tuple[ChosenStage, ...]
    latency_seconds: float
    period_seconds: float
    update_seconds: float
    step_seconds: float

    @property
    def num_microbatches(self) -> int:
        return self.problem.num_microbatches

    @property
    def schedule(self) -> ScheduleKind:
        return self.problem.schedule

    def verify(self) -> None:
        """Judges the stages anew; raises SolverError if they break a rule or a number is wrong."""
        try:
            judged = _describe(self.problem, [stage.candidate for stage in self.stages])
        except ValueError as error:
            raise SolverError(f"the stages chosen break a rule: {error}") from None
        if judged.stages != self.stages:
            raise SolverError(f"expected stages {judged.stages}, got {self.stages}")
        for name in ("latency_seconds", "period_seconds", "update_seconds", "step_seconds"):
            expected, stated = getattr(judged, name), getattr(self, name)
            if not isclose(expected, stated, rel_tol=1e-9):
                raise SolverError(f"expected {name} {expected} of the stages, got {stated}")


def choose_stages(problems: Iterable[StageProblem]) -> StageSolution:
    """The fastest stages of all problems, those of the first of them among equals.

    What is known from earlier problems cuts off the search in later ones.

    Raises:
      ArgumentError: a problem is malformed. InfeasibleError: none has a solution.
    """
    best: StageSolution | None = None
    considered: list[str] = []
    for problem in problems:
        considered.append(f"{problem.num_microbatches} microbatches, {problem.schedule.name}")
        try:
            stages = problem.solve(best.step_seconds if best else float("inf"))
        except ValueError as error:
            raise ArgumentError(f"the stage problem is malformed: {error}") from None
        if stages is not None:
            best = _describe(problem, stages)
    if best is None:
        raise InfeasibleError(
            "expected stages that fit in memory and use every device, found none with "
            f"{'; '.join(considered) or 'no alternative'}; try more microbatches, "
            "rematerialization, more devices, or a higher memory_limit_bytes"
        )
    return best


def in_flight(schedule: ScheduleKind, stage: int, num_stages: int, num_microbatches: int) -> int:
    """Microbatches whose activations the stage of that number holds at most."""
    return max_in_flight(schedule, num_stages - stage, num_microbatches)


def _describe(problem: StageProblem, candidates: list[int]) -> StageSolution:
    costs = problem.evaluate(candidates)
    placed = zip(candidates, problem.place_stages(candidates), costs.memory_bytes, strict=True)
    stages: list[ChosenStage] = []
    for number, (index, first_device, memory_bytes) in enumerate(placed):
        candidate = problem.candidate(index)
        submesh = problem.submeshes[candidate.submesh]
        held = in_flight(problem.schedule, number, len(candidates), problem.num_microbatches)
        stages.append(
            ChosenStage(
                candidate=index,
                first_layer=candidate.first_layer,
                end_layer=candidate.end_layer,
                submesh=(submesh.num_nodes, submesh.devices_per_node),
                first_device=first_device,
                num_in_flight=held,
                memory_bytes=memory_bytes,
            )
        )
    return StageSolution(
        problem,
        tuple(stages),
        costs.latency_seconds,
        costs.period_seconds,
        costs.update_seconds,
        costs.step_seconds,
    )
