"""The answer to a sharding problem: choices, their cost, and how much cheaper one could be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alpa_mlir._native import ShardingProblem
from alpa_mlir.errors import SolverError


@dataclass(frozen=True)
class TracePoint:
    """What was known at one moment of the search. `cost` is None before the first answer."""

    seconds: float
    phase: str
    cost: int | None
    lower_bound: int


# Called with each new point; returns whether to go on.
OnProgress = Callable[[TracePoint], bool]


@dataclass(frozen=True, eq=False)
class Solution:
    """One strategy per node. No answer costs less than `lower_bound`.

    Attributes:
      is_out_of_time: whether time ended a part of the search: with more of it this may be better.
    """

    problem: ShardingProblem = field(repr=False)
    choices: NDArray[np.int32] = field(repr=False)
    cost: int
    lower_bound: int
    peak_usage: int
    trace: tuple[TracePoint, ...] = field(repr=False)
    is_out_of_time: bool = False

    @property
    def gap(self) -> float:
        """The part of the cost that may be unnecessary: (cost - lower bound) / cost."""
        return (self.cost - self.lower_bound) / self.cost if self.cost > self.lower_bound else 0.0

    @property
    def is_optimal(self) -> bool:
        return self.cost == self.lower_bound

    def verify(self) -> None:
        """Judges the choices anew in exact integers; raises SolverError if a statement is wrong."""
        judged = self.problem.evaluate(self.choices.tolist())
        stated = (self.cost, self.peak_usage)
        found = (judged.cost, judged.peak_usage)
        if stated != found:
            raise SolverError(f"expected (cost, peak usage) {found} of the choices, got {stated}")
        if not judged.is_feasible:
            raise SolverError(
                f"expected allowed choices, got {judged.num_forbidden} forbidden costs and a peak"
                f" of {judged.peak_usage} bytes at time {judged.peak_time}"
                f" (limit {self.problem.usage_limit})"
            )
        if self.lower_bound > self.cost:
            raise SolverError(
                f"expected a lower bound of at most the cost {self.cost}, got {self.lower_bound}"
            )
