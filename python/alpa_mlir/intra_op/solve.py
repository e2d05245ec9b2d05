"""The one entry to the solver: reduce, solve what is left, map the answer back, check it."""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray

from alpa_mlir._native import CoreProblem, ReducibleProblem, ShardingProblem
from alpa_mlir.errors import InfeasibleError, SolverError
from alpa_mlir.intra_op.solution import Solution, TracePoint


def solve(
    problem: ShardingProblem,
    *,
    time_limit_seconds: float = 60.0,
    num_threads: int | None = None,
    seed: int = 0,
) -> Solution:
    """Finds the cheapest choice of strategies that fits into memory.

    Returns the best answer found within the limit, with a lower bound. Raises InfeasibleError when
    no choice is allowed, SolverError when none was found in time, ValueError when the problem is
    malformed.
    """
    start = time.monotonic()
    trace: list[TracePoint] = []
    problem.check()
    reduced = ReducibleProblem(problem)
    _check_capacities(problem, reduced.core())
    reduced.reduce()
    if reduced.is_infeasible:
        raise InfeasibleError("no choice of strategies is allowed: relax the fixed shardings")
    core = reduced.core()
    if len(core.node_costs) == 0:
        choices = np.array(reduced.expand([]), np.int32)
        return _checked_solution(problem, choices, core.constant_cost, trace, start)
    remaining = time_limit_seconds - (time.monotonic() - start)
    # Importing CVXPY takes longer than all the rest: who solves nothing does not wait for it.
    from alpa_mlir.intra_op.ilp import Ilp

    result = Ilp(core).solve(time_limit_seconds=remaining, seed=seed)
    if result.is_infeasible:
        raise InfeasibleError(
            "no choice of strategies is allowed: relax the memory limit or the fixed shardings"
        )
    if result.choices is None:
        raise SolverError(f"no answer within {time_limit_seconds} s: allow more time")
    choices = np.array(reduced.expand(result.choices.tolist()), np.int32)
    return _checked_solution(problem, choices, result.lower_bound, trace, start)


def _checked_solution(
    problem: ShardingProblem,
    choices: NDArray[np.int32],
    bound: float,
    trace: list[TracePoint],
    start: float,
) -> Solution:
    judged = problem.evaluate(choices.tolist())
    lower_bound = min(_integer_bound(bound), judged.cost)
    trace.append(TracePoint(time.monotonic() - start, "ilp", judged.cost, lower_bound))
    solution = Solution(problem, choices, judged.cost, lower_bound, judged.peak_usage, tuple(trace))
    solution.verify()
    return solution


def _integer_bound(bound: float) -> int:
    """Costs are integers, so a bound rounds up, less what floating point may have added."""
    if math.isinf(bound):
        return 0
    return max(0, math.ceil(bound - max(1e-6, 1e-9 * abs(bound))))


def _check_capacities(problem: ShardingProblem, core: CoreProblem) -> None:
    if len(core.row_capacities) == 0 or core.row_capacities.min() >= 0:
        return
    row = int(core.row_capacities.argmin())
    missing = -int(core.row_capacities[row])
    raise InfeasibleError(
        f"memory: {missing} bytes are missing at time {core.row_times[row]} even if each node takes"
        f" its smallest strategy (limit {problem.usage_limit} bytes); use more devices, a smaller"
        " batch, more microbatches or rematerialization"
    )
