"""Chooses stages, number of microbatches and schedule: the stage DP over all alternatives.

The problem and its exact solver are C++ (cpp/core/StageProblem.h, StageDp.h). Microbatch size
changes every cost, so each number of microbatches is a problem of its own; each schedule too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isclose

from alpa_mlir._native import ScheduleKind, StageProblem, Submesh
from alpa_mlir.errors import ArgumentError, InfeasibleError, SolverError
from alpa_mlir.options import standard_submeshes


@dataclass(frozen=True)
class StageAssignment:
    """Layers [first_layer, end_layer) on `submesh`, whose devices start at `first_device`.

    `candidate` is the index into the problem's candidates; `memory_bytes` is the peak of one of
    its devices.
    """

    candidate: int
    first_layer: int
    end_layer: int
    submesh: tuple[int, int]
    first_device: int
    memory_bytes: int


@dataclass(frozen=True, eq=False)
class StagePlan:
    """Stages in order, and what the step takes.

    `step_seconds` is latency + (num_microbatches - 1) * period + update.
    """

    problem: StageProblem = field(repr=False)
    stages: tuple[StageAssignment, ...]
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
            raise SolverError(f"the plan of stages breaks a rule: {error}") from None
        if judged.stages != self.stages:
            raise SolverError(f"expected stages {judged.stages}, got {self.stages}")
        for name in ("latency_seconds", "period_seconds", "update_seconds", "step_seconds"):
            expected, stated = getattr(judged, name), getattr(self, name)
            if not isclose(expected, stated, rel_tol=1e-9):
                raise SolverError(f"expected {name} {expected} of the stages, got {stated}")


def solve_stages(problems: Iterable[StageProblem]) -> StagePlan:
    """The fastest plan of all problems, the first of them among equals.

    What is known from earlier problems cuts off the search in later ones.

    Raises:
      ArgumentError: a problem is malformed. InfeasibleError: none has a plan.
    """
    best: StagePlan | None = None
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


def submeshes(num_nodes: int, devices_per_node: int) -> list[Submesh]:
    """Those of `options.standard_submeshes`."""
    return [Submesh(*shape) for shape in standard_submeshes(num_nodes, devices_per_node)]


def submesh_chains(num_nodes: int, devices_per_node: int) -> list[list[Submesh]]:
    """Any divisors of a node: one list per longest chain of sizes that divide one another.

    Sizes of one chain can always be placed, 2 and 3 in a node of 6 cannot: solve once with each.
    """
    nodes = [Submesh(n, devices_per_node) for n in range(1, num_nodes + 1)]
    chains = _divisor_chains(devices_per_node)
    return [[Submesh(1, size) for size in chain[:-1]] + nodes for chain in chains]


def _divisor_chains(n: int) -> list[list[int]]:
    """The longest chains 1 | ... | n, in lexicographic order."""
    primes = [p for p in range(2, n + 1) if n % p == 0 and all(p % q for q in range(2, p))]
    chains = [[*chain, n] for p in primes for chain in _divisor_chains(n // p)]
    return sorted(chains) or [[1]]


def _describe(problem: StageProblem, candidates: list[int]) -> StagePlan:
    costs = problem.evaluate(candidates)
    placed = zip(candidates, problem.place_stages(candidates), costs.memory_bytes, strict=True)
    stages: list[StageAssignment] = []
    for index, first_device, memory_bytes in placed:
        candidate = problem.candidate(index)
        submesh = problem.submeshes[candidate.submesh]
        shape = (submesh.num_nodes, submesh.devices_per_node)
        layers = (candidate.first_layer, candidate.end_layer)
        stages.append(StageAssignment(index, *layers, shape, first_device, memory_bytes))
    return StagePlan(
        problem,
        tuple(stages),
        costs.latency_seconds,
        costs.period_seconds,
        costs.update_seconds,
        costs.step_seconds,
    )
