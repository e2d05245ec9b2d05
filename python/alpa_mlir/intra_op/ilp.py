"""The integer linear program of a reduced sharding problem: CVXPY in matrix form, solved by HiGHS.

Alpa (OSDI'22), section 4.2. Two vector variables: `s` has one entry per strategy of every node,
`e` one per allowed pair of every edge. `e` is continuous: with the tight linking below an integral
`s` leaves it no other value, and the relaxation is so strong that a few branch-and-bound nodes
close it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from alpa_mlir._native import BLOCKED_COST, CoreProblem
from alpa_mlir.intra_op.memory_rows import MemoryRows

# HiGHS works to absolute tolerances of about 1e-6; costs are scaled so that the largest is this.
_LARGEST_SCALED_COST = 1e6
# Memory rows added per round, most violated peaks first: more make a round slow, fewer need more.
_ROWS_PER_ROUND = 8


@dataclass(frozen=True)
class IlpResult:
    """`choices` is None when none was found.

    `lower_bound` is HiGHS's less its tolerance (`Ilp.tolerance`): it works in floating point, and
    its word for an optimum is not taken for a proof.
    """

    choices: NDArray[np.int32] | None
    lower_bound: float
    is_infeasible: bool
    num_rows: int


class Ilp:
    """The program of one core. Memory rows are added as answers violate them.

    `cutoff` is the cost of a known answer: only cheaper ones are looked for, and if there is none
    the result is infeasible.
    """

    def __init__(self, core: CoreProblem, cutoff: int | None = None) -> None:
        self._cutoff = cutoff
        # No cheaper answer has a cost that alone reaches the cutoff. Without those the rest can be
        # scaled up, and tolerances matter less.
        room = BLOCKED_COST if cutoff is None else cutoff - core.constant_cost
        self._core = core
        self._memory = MemoryRows(core)
        self._rows: list[int] = []
        num_strategies = len(core.node_costs)
        is_allowed = core.node_costs < room
        pairs = _EdgePairs(core, is_allowed, room)
        largest = max(core.node_costs[is_allowed].max(initial=1), pairs.costs.max(initial=1))
        self._scale = _LARGEST_SCALED_COST / float(largest)

        self._s = cp.Variable(num_strategies, boolean=True, name="s")
        e = cp.Variable(len(pairs.costs), nonneg=True, name="e")
        # Equation (1): node costs c + d, and the resharding costs R of every edge, linear in e.
        costs = np.where(is_allowed, core.node_costs, 0)
        self._objective = (costs * self._scale) @ self._s + (pairs.costs * self._scale) @ e

        node_of = np.repeat(np.arange(len(core.node_offsets) - 1), np.diff(core.node_offsets))
        one = _incidence(node_of, np.arange(num_strategies))
        # Equation (2): every node has one strategy.
        self._constraints = [_labelled("one_strategy", one @ self._s == 1)]
        blocked = np.flatnonzero(~is_allowed)
        if blocked.size:
            self._constraints.append(_labelled("forbidden_strategy", self._s[blocked] == 0))
        # Equation (3) in linear form, a block per end: the pair of an edge has that end's strategy.
        for name, row, strategy in (
            ("link_first", pairs.first_row, pairs.first_strategy),
            ("link_second", pairs.second_row, pairs.second_strategy),
        ):
            if len(strategy):
                pair_sums = _incidence(row, np.arange(len(row)), num_rows=len(strategy))
                own = _incidence(np.arange(len(strategy)), strategy, num_columns=num_strategies)
                self._constraints.append(_labelled(name, pair_sums @ e == own @ self._s))

    @property
    def tolerance(self) -> float:
        """Cost that a tolerance of 1e-6 on a choice between largest costs amounts to."""
        return 1.0 / self._scale

    def solve(self, *, time_limit_seconds: float, seed: int = 0) -> IlpResult:
        """Solves, adding memory rows until the answer keeps them all."""
        deadline = time.monotonic() + time_limit_seconds
        lower_bound = float("-inf")
        while True:
            remaining = max(deadline - time.monotonic(), 0.01)
            choices, bound, status = self._solve_once(remaining, seed)
            lower_bound = max(lower_bound, bound)
            if status == cp.INFEASIBLE:
                bound = float("inf") if self._cutoff is None else self._cutoff - self.tolerance
                return IlpResult(None, bound, True, len(self._rows))
            violated = (
                self._memory.violated_peaks(choices)[:_ROWS_PER_ROUND]
                if choices is not None
                else []
            )
            if choices is None or (len(violated) and time.monotonic() >= deadline):
                return IlpResult(None, lower_bound, False, len(self._rows))
            if not len(violated):
                return IlpResult(choices, lower_bound, False, len(self._rows))
            added = [row for row in violated if row not in self._rows]
            if not added:  # kept within HiGHS' tolerance, which is not enough
                return IlpResult(None, lower_bound, False, len(self._rows))
            self._rows.extend(added)

    def _solve_once(
        self, time_limit_seconds: float, seed: int
    ) -> tuple[NDArray[np.int32] | None, float, str]:
        constraints = list(self._constraints)
        if self._rows:
            matrix, capacities = self._memory.scaled_rows(np.array(self._rows))
            # Equation (4): what lives at one time fits into memory.
            constraints.append(_labelled("memory", matrix @ self._s <= capacities))
        problem = cp.Problem(cp.Minimize(self._objective), constraints)
        offset = self._core.constant_cost
        options: dict[str, object] = {
            "time_limit": time_limit_seconds,
            "random_seed": seed,
            "parallel": "off",
            "mip_rel_gap": 0.0,
            "mip_abs_gap": min(0.5 * self._scale, 1e-3),
        }
        if self._cutoff is not None:
            # Costs are integers: half a unit keeps answers of equal cost out.
            options["objective_bound"] = (self._cutoff - 0.5 - offset) * self._scale
        compiled: tuple[Any, Any, Any] = problem.get_problem_data(cp.HIGHS)
        data, chain, inverse = compiled
        raw = chain.solve_via_data(problem, data, solver_opts=options)
        if raw["model_status"] == "kInfeasible":
            return None, float("inf"), cp.INFEASIBLE
        info = raw["info"]
        bound = info.mip_dual_bound / self._scale + offset - self.tolerance
        has_answer = np.isfinite(info.objective_function_value) and len(raw["solution"].col_value)
        if not has_answer:
            return None, bound, cp.USER_LIMIT
        # HiGHS drops what is above its objective bound, but may still return an answer from there.
        cost = info.objective_function_value / self._scale + offset
        is_proven = raw["model_status"] == "kOptimal"
        if is_proven and self._cutoff is not None and cost > self._cutoff - 0.5:
            return None, bound, cp.INFEASIBLE
        problem.unpack(chain.invert(raw, inverse))
        return self._round(np.asarray(self._s.value, np.float64)), bound, problem.status

    def _round(self, values: NDArray[np.float64]) -> NDArray[np.int32]:
        starts = self._core.node_offsets[:-1]
        best = np.maximum.reduceat(values, starts)
        is_best = values >= np.repeat(best, np.diff(self._core.node_offsets))
        positions = np.where(is_best, np.arange(len(values)), len(values))
        return (np.minimum.reduceat(positions, starts) - starts).astype(np.int32)


class _EdgePairs:
    """The allowed pairs of all edges, and the linking rows they count in.

    There is one row per edge and strategy of an end.
    """

    def __init__(self, core: CoreProblem, is_allowed: NDArray[np.bool_], room: int) -> None:
        sizes = np.diff(core.node_offsets)
        edge = np.repeat(np.arange(len(core.edge_first)), np.diff(core.edge_offsets))
        position = np.arange(len(core.edge_costs)) - core.edge_offsets[edge]
        first, second = np.divmod(position, sizes[core.edge_second][edge])
        first_at = core.node_offsets[core.edge_first]
        second_at = core.node_offsets[core.edge_second]
        kept = core.edge_costs < room
        kept &= is_allowed[first_at[edge] + first] & is_allowed[second_at[edge] + second]
        self.costs = core.edge_costs[kept]
        self.first_row, self.first_strategy = _link_rows(
            sizes[core.edge_first], first_at, edge, first, kept
        )
        self.second_row, self.second_strategy = _link_rows(
            sizes[core.edge_second], second_at, edge, second, kept
        )


def _link_rows(
    sizes: NDArray[np.int64],
    strategies_at: NDArray[np.int64],
    edge: NDArray[np.int64],
    strategy: NDArray[np.int64],
    kept: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row of each kept pair, and the strategy variable of each row."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    row = (starts[edge] + strategy)[kept]
    row_edge = np.repeat(np.arange(len(sizes)), sizes)
    row_strategy = strategies_at[row_edge] + np.arange(starts[-1]) - starts[row_edge]
    return row, row_strategy


def _incidence(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    num_rows: int | None = None,
    num_columns: int | None = None,
) -> sp.csr_array:
    """A sparse 0/1 matrix."""
    shape = (num_rows or int(rows.max()) + 1, num_columns or len(columns))
    return sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


def _labelled(label: str, constraint: Any) -> cp.Constraint:
    # `Any`: CVXPY's comparisons are typed as bool or as arrays.
    constraint.label = label
    return constraint
