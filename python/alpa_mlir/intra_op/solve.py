"""The one entry to the solver: reduce, solve what is left, map the answer back, check it.

What is left after the reductions goes to the search in C++ (message passing, branch and bound,
large neighbourhoods), which proves most problems optimal within a second. What is still open after
half of the time, and small enough, goes to the integer linear program.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alpa_mlir._native import (
    BLOCKED_COST,
    CoreProblem,
    ReducibleProblem,
    ShardingProblem,
    find_stand_in,
    find_unsummable,
    solve_core,
)
from alpa_mlir.errors import InfeasibleError, SolverError
from alpa_mlir.intra_op.solution import OnProgress, Solution, TracePoint

if TYPE_CHECKING:
    from alpa_mlir.intra_op.ilp import IlpResult

# More table entries than this are beyond HiGHS; the search goes on alone.
_MAX_ILP_ENTRIES = 200_000
# Part of the time for the problem with tied nodes, whose answer the untied one starts from.
_TIED_SHARE = 0.5
_SEARCH_SHARE = 0.5
# And for the problem in which what looks like a stand-in for "forbidden" is forbidden.
_RESTRICTED_SHARE = 0.3
_POLL_SECONDS = 0.1
_NO_LIMIT_SECONDS = 1e8
_NO_WORK_LIMIT = 2**62

# Some three seconds of one core.
PATIENCE = 3_000_000_000


def solve(
    problem: ShardingProblem,
    *,
    time_limit_seconds: float | None = None,
    num_threads: int | None = None,
    seed: int = 0,
    target_gap: float = 0.0,
    work_limit: int | None = None,
    patience: int | None = None,
    tie_classes: list[int] | None = None,
    on_progress: OnProgress | None = None,
) -> Solution:
    """Finds the cheapest choice of strategies that fits into memory.

    `tie_classes` gives each node a class whose nodes make one choice
    (`alpa_mlir._native.find_identical_nodes`). That finds good answers of repetitive problems
    fast; the lower bound holds for all answers all the same. The search ends at `target_gap`.
    The time limit is a minute unless there is a `work_limit` (about a billion per second): with
    that alone the answer is reproducible. So it is with `patience`, where time is left: the search
    ends after so much work without a better answer, or after twice the work that the best one took,
    whichever is more. `PATIENCE` is for those who plan: where weights are used in several passes
    (preference pairs, adversarial steps) the best answer is found in a second or two, and what is
    missing of its proof would take hours.
    `on_progress` is called several times a second; when it returns False the search ends.

    Returns the best answer found within the limits, with a lower bound. Raises InfeasibleError
    when no choice is allowed, SolverError when none was found in time, ValueError when the problem
    is malformed or a limit makes no sense. Costs so large that their sum could leave 64 bits are
    avoided; SolverError where that cannot be done.
    """
    problem.check()
    if time_limit_seconds is None:
        time_limit_seconds = 60.0 if work_limit is None else _NO_LIMIT_SECONDS
    _check_limits(time_limit_seconds, num_threads, target_gap)
    unsummable = find_unsummable(problem)
    run = _Run(
        problem,
        ceiling=BLOCKED_COST if unsummable is None else unsummable,
        deadline=time.monotonic() + time_limit_seconds,
        num_threads=os.cpu_count() or 1 if num_threads is None else num_threads,
        seed=seed,
        target_gap=target_gap,
        work_limit=_NO_WORK_LIMIT if work_limit is None else work_limit,
        patience=_NO_WORK_LIMIT if patience is None else patience,
        on_progress=on_progress,
    )
    if tie_classes is not None:
        tied = run.reducible()
        tied.tie_nodes(tie_classes)
        tied.reduce()
        if not tied.is_infeasible:
            run.search(tied, "tied", share=_TIED_SHARE, bound_below=0)
        if run.is_stopped:
            return run.solution()
    stand_in = find_stand_in(problem)
    if stand_in is not None and stand_in < run.ceiling:
        restricted = ReducibleProblem(problem, stand_in)
        restricted.reduce()
        if not restricted.is_infeasible:
            run.search(restricted, "restricted", share=_RESTRICTED_SHARE, bound_below=stand_in)
        if run.is_done:
            return run.solution()
    reduced = run.reducible()
    _check_capacities(problem, reduced.core())
    reduced.reduce()
    if reduced.is_infeasible:
        raise run.refusal()
    core = reduced.core()
    is_small = work_limit is None and len(core.edge_costs) <= _MAX_ILP_ENTRIES
    share = _SEARCH_SHARE if is_small else 1.0
    is_settled = run.search(reduced, "search", share=share, bound_below=run.ceiling)
    is_enough = patience is not None and run.choices is not None
    if is_small and not is_settled and not is_enough and not run.is_done:
        run.integer_program(reduced)
    return run.solution()


@dataclass
class _Run:
    """The best answer and bound so far, over all phases.

    Costs of `ceiling` or more are not to be used.
    """

    problem: ShardingProblem
    ceiling: int
    deadline: float
    num_threads: int
    seed: int
    target_gap: float
    work_limit: int
    patience: int
    on_progress: OnProgress | None
    start: float = field(default_factory=time.monotonic)
    choices: NDArray[np.int32] | None = None
    cost: int = BLOCKED_COST
    lower_bound: int = 0
    is_stopped: bool = False
    is_out_of_time: bool = False
    trace: list[TracePoint] = field(default_factory=list[TracePoint])

    @property
    def is_done(self) -> bool:
        is_good = self.cost - self.lower_bound <= self.target_gap * self.cost
        return (is_good and self.choices is not None) or self.is_stopped

    @property
    def remaining_seconds(self) -> float:
        return max(self.deadline - time.monotonic(), 0.0)

    def reducible(self) -> ReducibleProblem:
        """The problem without costs that are not to be used."""
        return ReducibleProblem(self.problem, self.ceiling)

    def refusal(self) -> Exception:
        """What to raise if there is no answer."""
        if self.ceiling < BLOCKED_COST:
            return SolverError(
                f"expected an answer whose costs are all below {self.ceiling}, there is none, and "
                "sums of larger ones could leave 64 bits: use a coarser unit"
            )
        return InfeasibleError(_no_memory_message(self.problem))

    def search(
        self,
        reduced: ReducibleProblem,
        phase: str,
        share: float,
        bound_below: int,
    ) -> bool:
        """Runs the search in C++. Returns whether it found out all there is to know.

        Bounds of a restricted problem hold up to `bound_below`: what all other answers cost.
        """
        core = reduced.core()
        if len(core.node_offsets) == 1:  # the reductions have left nothing to choose
            if core.constant_cost < self.cost:
                self.choices = np.array(reduced.expand([]), np.int32)
                self.cost = core.constant_cost
            bound = min(core.constant_cost, bound_below)
            self.lower_bound = max(self.lower_bound, bound)
            self._note(f"{phase} reductions", self.cost, self.lower_bound)
            return True
        seconds = share * self.remaining_seconds
        end = time.monotonic() + seconds
        try:
            result = solve_core(
                core,
                time_limit_seconds=seconds,
                work_limit=self.work_limit,
                patience=self.patience,
                num_threads=self.num_threads,
                seed=self.seed,
                stop_gap=self.target_gap,
                cutoff=self.cost,
                on_progress=lambda step, found: self._note(
                    f"{phase} {step}",
                    found.cost,
                    max(self.lower_bound, min(found.lower_bound, bound_below)),
                ),
            )
        except MemoryError:  # of any of its threads
            raise SolverError(
                f"expected enough memory to search a problem of {self.problem.num_nodes} nodes "
                f"({len(core.edge_costs)} table entries after reductions) on {self.num_threads} "
                "threads, got none: try fewer threads, or a mesh of fewer axes"
            ) from None
        self.is_out_of_time |= time.monotonic() >= end
        if result.choices is not None:
            self.choices = np.array(reduced.expand(result.choices), np.int32)
            self.cost = result.cost
        self.lower_bound = max(self.lower_bound, min(result.lower_bound, bound_below))
        is_whole = bound_below >= self.ceiling
        if is_whole and result.lower_bound >= BLOCKED_COST and self.choices is None:
            raise self.refusal()
        return result.lower_bound >= self.cost

    def integer_program(self, reduced: ReducibleProblem) -> None:
        """Runs the ILP for answers cheaper than the best so far."""
        # Importing CVXPY takes longer than most problems: who needs no ILP does not wait for it.
        from alpa_mlir.intra_op.ilp import Ilp

        cutoff = self.cost if self.choices is not None else None
        ilp = Ilp(reduced.core(), cutoff)
        seconds = self.remaining_seconds
        result = self._unless_stopped(lambda: ilp.solve(time_limit_seconds=seconds, seed=self.seed))
        if result is None:
            return
        self.is_out_of_time |= self.remaining_seconds == 0
        if result.is_infeasible and self.choices is None:
            raise self.refusal()
        if result.choices is not None:
            choices = np.array(reduced.expand(result.choices.tolist()), np.int32)
            judged = self.problem.evaluate(choices.tolist())
            if judged.is_feasible and judged.cost < self.cost:
                self.choices, self.cost = choices, judged.cost
        bound = min(_integer(result.lower_bound), self.cost, self.ceiling)
        self.lower_bound = max(self.lower_bound, bound)
        self._note("ilp", self.cost, self.lower_bound)

    def _unless_stopped(self, work: Callable[[], IlpResult]) -> IlpResult | None:
        """Runs what cannot be interrupted on a thread, which is left alone where that is asked."""
        future: Future[IlpResult] = Future()
        thread = threading.Thread(target=_fulfil, args=(future, work), daemon=True)
        thread.start()
        while not future.done():
            thread.join(_POLL_SECONDS)
            if not self._note("ilp", self.cost, self.lower_bound):
                return None
        return future.result()

    def _note(self, phase: str, cost: int, lower_bound: int) -> bool:
        """Records what changed. Returns whether to go on."""
        known_cost = None if cost >= BLOCKED_COST else cost
        point = TracePoint(time.monotonic() - self.start, phase, known_cost, lower_bound)
        last = self.trace[-1] if self.trace else None
        if last is None or (known_cost, lower_bound) != (last.cost, last.lower_bound):
            self.trace.append(point)
        if self.on_progress is not None and not self.on_progress(point):
            self.is_stopped = True
        return not self.is_stopped

    def solution(self) -> Solution:
        self._note("end", self.cost, self.lower_bound)
        if self.choices is None:
            seconds = time.monotonic() - self.start
            raise SolverError(f"no answer found in {seconds:.1f} s: allow more time or memory")
        peak_usage = self.problem.evaluate(self.choices.tolist()).peak_usage
        solution = Solution(
            self.problem,
            self.choices,
            self.cost,
            self.lower_bound,
            peak_usage,
            tuple(self.trace),
            self.is_out_of_time,
        )
        solution.verify()
        return solution


def _fulfil(future: Future[IlpResult], work: Callable[[], IlpResult]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # raised where the result is awaited
        future.set_exception(error)


def _check_limits(time_limit_seconds: float, num_threads: int | None, target_gap: float) -> None:
    # Written so that nan fails too.
    if not time_limit_seconds >= 0:
        raise ValueError(f"expected a time limit of at least 0 s, got {time_limit_seconds}")
    if num_threads is not None and num_threads < 1:
        raise ValueError(f"expected at least one thread, got {num_threads}")
    if not target_gap >= 0:
        raise ValueError(f"expected a target gap of at least 0, got {target_gap}")


def _integer(bound: float) -> int:
    """Costs are integers, so a bound rounds up."""
    return math.ceil(bound) if math.isfinite(bound) else 0


def _check_capacities(problem: ShardingProblem, core: CoreProblem) -> None:
    if len(core.row_capacities) == 0 or core.row_capacities.min() >= 0:
        return
    row = int(core.row_capacities.argmin())
    missing = -int(core.row_capacities[row])
    raise InfeasibleError(
        f"memory: {missing} bytes are missing at time {core.row_times[row]} even if each node takes"
        f" its smallest strategy (limit {problem.usage_limit} bytes); {_MEMORY_ADVICE}"
    )


_MEMORY_ADVICE = "use more devices, a smaller batch, more microbatches or rematerialization"


def _no_memory_message(problem: ShardingProblem) -> str:
    return (
        "no choice of strategies is allowed: the fixed shardings contradict each other or do not"
        f" fit into {problem.usage_limit} bytes; relax them, or {_MEMORY_ADVICE}"
    )
