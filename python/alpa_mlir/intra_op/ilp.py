"""The integer linear program of a reduced sharding problem, in CVXPY's matrix form, solved by HiGHS.

Alpa (OSDI'22), section 4.2. Two vector variables: `s` has one entry per strategy of every node, `e` one per allowed pair
of every edge. Costs differ from the paper in one point: `e` is continuous. With the tight linking below, an integral `s`
leaves `e` no other value, and the relaxation is so strong that a few branch-and-bound nodes close it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from alpa_mlir._native import BLOCKED_COST, CoreProblem

# HiGHS works to absolute tolerances of about 1e-6; the costs it sees are scaled so that the largest is this.
_LARGEST_SCALED_COST = 1e6
# Memory rows added per round: the most violated peaks first. More rows slow each round down, fewer need more rounds.
_ROWS_PER_ROUND = 8


@dataclass(frozen=True)
class IlpResult:
    """`choices` is None when no answer was found in time; `lower_bound` is HiGHS's, in floating point."""

    choices: NDArray[np.int32] | None
    lower_bound: float
    is_infeasible: bool
    rows: tuple[int, ...]


@dataclass(frozen=True)
class IlpModel:
    """The program without memory rows, which come and go."""

    s: cp.Variable
    objective: cp.Minimize
    constraints: list[cp.Constraint]
    scale: float
    offset: float


def build_ilp(core: CoreProblem) -> IlpModel:
    """Builds the program of the Alpa paper's equations (1) and following."""
    node_of = np.repeat(np.arange(len(core.node_offsets) - 1), np.diff(core.node_offsets))
    s = cp.Variable(len(core.node_costs), boolean=True, name="s")
    pairs = _allowed_pairs(core)
    e = cp.Variable(len(pairs.costs), nonneg=True, name="e")

    allowed_nodes = core.node_costs < BLOCKED_COST
    node_costs = np.where(allowed_nodes, core.node_costs, 0)
    largest = max(node_costs.max(initial=0), pairs.costs.max(initial=0), 1)
    scale = _LARGEST_SCALED_COST / float(largest)

    # Equation (1): node costs c + d, and the resharding costs R of every edge in linear form.
    objective = (node_costs * scale) @ s + (pairs.costs * scale) @ e
    one_strategy = _labelled(_ones(node_of) @ s == 1, "one_strategy: sum_p s[v, p] = 1")
    constraints = [one_strategy]
    if not allowed_nodes.all():
        blocked = sp.csr_array(np.diag(~allowed_nodes)[~allowed_nodes].astype(float))
        constraints.append(_labelled(blocked @ s == 0, "forbidden: s[v, p] = 0"))
    if len(core.edge_first):
        # Equation (2), linearised: the strategy pair of an edge has the strategies of both its ends as marginals.
        constraints += [
            _labelled(_marginals(pairs.first, len(core.node_costs)) @ e == pairs.at_first @ s,
                      "link_first: sum_q e[v, u, p, q] = s[v, p]"),
            _labelled(_marginals(pairs.second, len(core.node_costs)) @ e == pairs.at_second @ s,
                      "link_second: sum_p e[v, u, p, q] = s[u, q]"),
        ]
    return IlpModel(s, cp.Minimize(objective), constraints, scale, float(core.constant_cost))
