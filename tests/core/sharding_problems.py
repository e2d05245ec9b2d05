"""Random sharding problems, and their optima by trying everything."""

from __future__ import annotations

import itertools
import random

from alpa_mlir._native import FORBIDDEN_COST, ShardingProblem
from hypothesis import strategies as st


@st.composite
def small_problems(draw: st.DrawFn, max_nodes: int = 6, max_strategies: int = 3) -> ShardingProblem:
    """Memory limits, forbidden pairs, parallel edges, isolated and one-strategy nodes, hubs."""
    problem = ShardingProblem()
    sizes = draw(st.lists(st.integers(1, max_strategies), min_size=1, max_size=max_nodes))
    costs = st.one_of(st.integers(0, 4), st.integers(0, 1000), st.just(FORBIDDEN_COST))
    for size in sizes:
        begin = draw(st.integers(0, 5))
        interval = (begin, draw(st.integers(begin, 6)))
        node_costs = draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
        usages = draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
        problem.add_node(interval, node_costs, usages)
    nodes = range(len(sizes))
    if len(sizes) > 1:
        is_hub = draw(st.booleans())
        ends = st.tuples(st.just(0) if is_hub else st.sampled_from(nodes), st.sampled_from(nodes))
        for first, second in draw(st.lists(ends, max_size=2 * max_nodes)):
            if first != second:
                size = sizes[first] * sizes[second]
                problem.add_edge(first, second, draw(st.lists(costs, min_size=size, max_size=size)))
    problem.usage_limit = draw(st.one_of(st.none(), st.integers(0, 12)))
    return problem


def brute_force(problem: ShardingProblem) -> int | None:
    """The optimum, or None if nothing is allowed."""
    sizes = [len(problem.node_costs(node)) for node in range(problem.num_nodes)]
    best = None
    for choices in itertools.product(*map(range, sizes)):
        judged = problem.evaluate(choices)
        if judged.is_feasible and (best is None or judged.cost < best):
            best = judged.cost
    return best


def large_problem(seed: int, num_nodes: int = 60) -> ShardingProblem:
    """A problem with cycles and tight memory that reductions do not solve."""
    source = random.Random(seed)
    problem = ShardingProblem()
    sizes = [source.randint(2, 6) for _ in range(num_nodes)]
    for node, size in enumerate(sizes):
        costs = [source.randint(0, 50) for _ in range(size)]
        usages = [source.randint(0, 60) for _ in range(size)]
        problem.add_node((node, node + source.randint(1, 12)), costs, usages)
    for node in range(1, num_nodes):
        for other in {max(0, node - source.randint(1, 8)) for _ in range(2)}:
            table = [source.randint(0, 99) for _ in range(sizes[other] * sizes[node])]
            problem.add_edge(other, node, table)
    smallest = [
        min(range(size), key=problem.node_usages(node).__getitem__)
        for node, size in enumerate(sizes)
    ]
    problem.usage_limit = problem.evaluate(smallest).peak_usage * 5 // 4
    return problem
