"""Solves the sharding problem of a stage, so that it fits into memory.

A limit on memory makes the problem hard, a price of memory does not: with every byte of the peak
priced, its Lagrangian relaxation, the problem is as easy as without a limit, and says what no
sharding within the limit is below. So prices are tried first, higher where the stage does not fit,
lower where it does. Equal layers all change at the same price, though some of them may be enough:
so what is right lies between the dearest answer that does not fit and the cheapest that does, and
the problem with its limit is solved for these two. Where that leaves a gap, it is solved for all
strategies in the time that is left, unless the gap is small: of stages of 39B on V100s, with gaps
of 1 to 4 %, that took most of the time and found one of twenty 0.4 % better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

from alpa_mlir._native import Module
from alpa_mlir.cost.memory import stage_memory
from alpa_mlir.errors import InfeasibleError, SolverError
from alpa_mlir.inter_op.costs import NO_LIMIT, StageCost, StageQuestion
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.shard import cost_and_bound, vertex_choices
from alpa_mlir.intra_op.solve import PATIENCE, solve

Choices = list[int]

_MAX_ATTEMPTS = 3  # to find what fits into memory under a limit
_MAX_PRICES = 8
_PRICE_STEP = 8.0
_WORK_AMONG_ANSWERS = 200_000_000  # most take a tenth of it, some would never end
_CLOSE_PRICES = 2.0  # as a ratio: between them there is little to find
_SMALL_GAP = 0.05  # as a part of the cost, of what prices found


Parse = Callable[[str], Module]


def parse_once() -> Parse:
    """Parses texts, the last ones once: most are asked about on one mesh after the other.

    For one thread: what it returns shares an MLIR context with what is cloned from it.
    """
    return lru_cache(maxsize=2)(Module.parse)


def cost_stage(
    question: StageQuestion, num_threads: int | None = None, parse: Parse = Module.parse
) -> StageCost | None:
    """What the stage costs at best within its limit; None where nothing fits into memory.

    Args:
      parse: of the stage's text; its result is cloned.

    Raises:
      SolverError: nothing was found in time. PassError: the stage's module is refused.
    """
    solver = _StageSolver(question, parse(question.text), num_threads)
    cost = solver.run()
    return cost and replace(cost, is_cut_off=solver.is_out_of_time)


@dataclass(frozen=True)
class _Found:
    """An answer.

    Attributes:
      price: picoseconds that a byte was worth.
      choices: of all nodes of the problem.
      peak_usage: bytes that the problem knows of.
      objective_bound: of the problem that was solved, prices of memory included; picoseconds.
    """

    cost: StageCost
    price: float
    choices: Choices
    peak_usage: int
    objective_bound: int

    def bound(self, limit: int) -> int:
        """What nothing within the limit costs less than (Lagrange)."""
        return self.objective_bound - round(self.price * limit)


class _StageSolver:
    """Of one question.

    Attributes:
      is_out_of_time: whether time ended a search before it met its target.
    """

    def __init__(self, question: StageQuestion, module: Module, num_threads: int | None) -> None:
        self.question = question
        self.module = module
        self.is_out_of_time = False
        self.num_threads = num_threads
        limit = question.memory_limit_bytes or question.cluster.device.memory_bytes
        self.limit = limit or NO_LIMIT  # 0: unknown
        self.deadline = time.monotonic() + question.time_limit_seconds
        self._known: dict[float, _Found | None] = {}  # by price

    def run(self) -> StageCost | None:
        if self.limit >= NO_LIMIT:
            found = self._solve(self.question.byte_price)
            return found and found.cost
        if (hinted := self._by_hint()) is not None:
            return hinted
        free = None
        if not self.question.byte_price:
            free = self._solve(0.0)
            if free is None or self._fits(free):
                return free and free.cost
        priced = self._by_prices(free)
        if priced is not None and self._gap(priced) <= max(self.question.target_gap, _SMALL_GAP):
            return priced
        try:
            exact = self._by_limit()
        except SolverError:
            if priced is None:
                raise
            return priced
        if priced is None or exact is None:
            return priced or exact
        if self._bytes(exact) > self.limit or priced.cost < exact.cost:
            return priced
        return replace(exact, lower_bound=max(exact.lower_bound, priced.lower_bound))

    def _by_hint(self) -> StageCost | None:
        """What fits at the price that is asked for, if that is good enough: it mostly is, since
        parts of the stage say the price."""
        price = self.question.byte_price
        if not price:
            return None
        with suppress(SolverError, OverflowError):
            found = self._priced(price)
            if found and self._fits(found):
                cost = self._bounded(found, found.bound(self.limit))
                return cost if self._is_good(cost) else None
        return None

    def _by_prices(self, free: _Found | None) -> StageCost | None:
        """The cheapest that fits, of some prices of a byte: about the one that is asked for, else
        from what one is for which memory has no limit."""
        too_low, too_high = 0.0, 0.0
        larger, smaller = free, None  # that does not fit, and that does
        bound, price = 0, self.question.byte_price
        if free is not None:
            bound, price = free.objective_bound, free.cost.cost / self.limit / _PRICE_STEP
        for _ in range(_MAX_PRICES):
            try:
                found = self._priced(price)
            except (SolverError, OverflowError):  # no time is left, or no higher price can be
                break
            if found is None:
                return None
            bound = max(bound, found.bound(self.limit))
            if self._fits(found):
                too_high, smaller = price, found
            else:
                too_low, larger = price, found
            if smaller and self._is_good(best := self._bounded(smaller, bound)):
                return best
            if too_low and too_high and too_high / too_low < _CLOSE_PRICES:
                break
            if not too_high:
                price *= _PRICE_STEP
            else:
                price = (too_low * too_high) ** 0.5 if too_low else price / _PRICE_STEP
        if smaller is None:
            return None
        best = smaller.cost
        with suppress(SolverError):
            mixed = larger and self._by_limit([larger.choices, smaller.choices])
            if mixed is not None and self._bytes(mixed) <= self.limit and mixed.cost < best.cost:
                best = mixed
        return replace(best, lower_bound=min(bound, best.cost))

    def _priced(self, price: float) -> _Found | None:
        if price not in self._known:
            self._known[price] = self._solve(price)
        return self._known[price]

    def _by_limit(self, answers: Sequence[Choices] = ()) -> StageCost | None:
        """The cheapest that fits, as far as there is time, of all or of what answers choose."""
        usage_limit, best = self.limit, None
        for _ in range(_MAX_ATTEMPTS):
            try:
                solved = self._solve(0.0, usage_limit, answers)
            except SolverError:
                if best is None:
                    raise
                return best
            if solved is None:
                return best
            best = solved.cost
            excess = self._bytes(best) - self.limit
            if excess <= 0:
                return best
            # The problem does not know of all memory (`stage_memory`): it is to need less.
            usage_limit = solved.peak_usage - excess
            if usage_limit <= 0:
                return best
        return best

    def _bytes(self, cost: StageCost) -> int:
        return cost.memory_bytes(self.question.num_in_flight)

    def _fits(self, found: _Found) -> bool:
        return self._bytes(found.cost) <= self.limit

    def _bounded(self, found: _Found, bound: int) -> StageCost:
        return replace(found.cost, lower_bound=min(bound, found.cost.cost))

    def _is_good(self, cost: StageCost) -> bool:
        return self._gap(cost) <= self.question.target_gap

    def _gap(self, cost: StageCost) -> float:
        return (cost.cost - cost.lower_bound) / cost.cost if cost.cost else 0.0

    def _solve(
        self, price: float, usage_limit: int = NO_LIMIT, answers: Sequence[Choices] = ()
    ) -> _Found | None:
        """None where there is no choice within the limit."""
        question = self.question
        stage = StageModel.of(
            self.module.clone(),
            question.mesh,
            question.cluster,
            question.strategy_space,
            usage_limit,
            question.num_in_flight,
        )
        problem = stage.model.problem
        if price:
            problem = problem.priced(price, problem.busiest_time)
        if answers:
            problem = problem.among(answers)
        try:
            solution = solve(
                problem,
                time_limit_seconds=max(0.0, self.deadline - time.monotonic()),
                num_threads=self.num_threads,
                target_gap=question.target_gap,
                patience=PATIENCE,
                work_limit=_WORK_AMONG_ANSWERS if answers else question.work_limit,
            )
        except InfeasibleError:
            return None
        except SolverError:
            self.is_out_of_time = True
            raise
        self.is_out_of_time |= solution.is_out_of_time and solution.gap > question.target_gap
        choices = vertex_choices(stage.model, solution)
        # All is asked before the phases are cut, which ends the model.
        picoseconds, lower_bound = cost_and_bound(stage.model, solution)
        seconds = stage.model.phase_seconds(choices)
        temporary_bytes = stage.model.phase_temporary_bytes(choices)
        memory = stage_memory(
            stage.phases(choices).functions, stage.mesh, temporary_bytes, question.num_microbatches
        )
        cost = StageCost(
            choices=tuple(choices),
            forward_seconds=seconds.get("forward", 0.0) / question.num_microbatches,
            backward_seconds=seconds.get("backward", 0.0) / question.num_microbatches,
            update_seconds=seconds.get("update", 0.0) + seconds.get("", 0.0),
            **asdict(memory),
            cost=picoseconds,
            lower_bound=0 if price else lower_bound,
            is_cut_off=self.is_out_of_time,
        )
        return _Found(
            cost, price, solution.choices.tolist(), solution.peak_usage, solution.lower_bound
        )
