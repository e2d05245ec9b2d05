"""The oracle for shardings: a random program computes on eight devices what it does on one.

It is sharded by the solver and by dice: any strategy that no cost forbids must be correct, not only
the cheap ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
from alpa_mlir._native import FORBIDDEN_COST, ShardingProblem
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.intra_op.shard import named_choices, normalize, shard
from programs.random_programs import random_program
from programs.random_slices import random_slices

MESH_SHAPES = [(8,), (2, 4), (4, 2), (2, 2, 2)]
TOLERANCE = 2e-5  # of the largest element; the values are near 1, so below 0.001 it is absolute


def assert_unchanged_by_sharding(seed: int) -> None:
    program = random_program(seed)
    arguments = program.example_arguments(seed)
    assert_same_by_solver_and_dice(program, arguments, jax.jit(program)(*arguments), seed)


def assert_slices_unchanged_by_sharding(seed: int) -> None:
    program = random_slices(seed)
    arguments = program.example_arguments(seed)
    # jit is wrong itself on one device; op by op is right.
    assert_same_by_solver_and_dice(program, arguments, program(*arguments), seed)


def assert_same_by_solver_and_dice(
    program: Callable[..., Any], arguments: Sequence[Any], expected: Any, seed: int
) -> None:
    mesh_shape = MESH_SHAPES[seed % len(MESH_SHAPES)]

    method = alpa.ShardParallel(mesh_shape=mesh_shape)
    by_solver = alpa.parallelize(program, method, batch_argnums=())
    assert_same_results(by_solver(*arguments), expected)

    normal = normalize(by_solver.trace(*arguments).program.text)
    model = shard(normal, LogicalMesh.of_shape(mesh_shape), alpa.Cluster.local()).model
    choices = random_choices(model.problem, np.random.default_rng(seed))[: model.num_vertices]
    plan = by_solver.plan(*arguments)
    stage = replace(plan.stages[0], choices=named_choices(model, choices))
    by_dice = replace(plan, stages=(stage,))
    fixed = alpa.parallelize(program, alpa.FixedPlan(by_dice), batch_argnums=())
    assert_same_results(fixed(*arguments), expected)


def random_choices(
    problem: ShardingProblem, rng: np.random.Generator, num_attempts: int = 100
) -> list[int]:
    """One strategy per node by dice, such that no node or edge cost is forbidden."""
    costs = [np.array(problem.node_costs(node)) for node in range(problem.num_nodes)]
    tables: list[list[tuple[int, np.ndarray]]] = [[] for _ in costs]
    for edge in range(problem.num_edges):
        first, second = problem.edge_nodes(edge)
        table = np.array(problem.edge_costs(edge)).reshape(len(costs[first]), len(costs[second]))
        tables[max(first, second)].append((first, table) if first < second else (second, table.T))

    def attempt() -> list[int] | None:
        choices: list[int] = []
        for node, node_costs in enumerate(costs):
            allowed = node_costs < FORBIDDEN_COST
            for neighbour, table in tables[node]:
                allowed = allowed & (table[choices[neighbour]] < FORBIDDEN_COST)
            if not allowed.any():
                return None
            choices.append(int(rng.choice(np.flatnonzero(allowed))))
        return choices

    for _ in range(num_attempts):
        if (choices := attempt()) is not None:
            return choices
    raise AssertionError(f"no allowed choices found in {num_attempts} attempts")


def assert_same_results(actual: Any, expected: Any) -> None:
    for a, e in zip(map(np.asarray, actual), map(np.asarray, expected), strict=True):
        assert (a.shape, a.dtype) == (e.shape, e.dtype)
        if e.dtype == np.float32:
            error = np.abs(a - e).max() / max(np.abs(e).max(), 1e-3)
            assert error <= TOLERANCE
        else:
            np.testing.assert_array_equal(a, e)
