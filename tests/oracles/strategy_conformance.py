"""Does XLA do what a strategy says? Programs of a few ops, one strategy of one op fixed at a time.

The other nodes are chosen by the solver with communication as the only cost, so that arguments come
in the sharding the op reads wherever they can. The annotated program is compiled for virtual
devices; its numbers must be those of one device, its collectives those that were predicted, and
XLA must not have replicated a tensor for want of a reshard.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from alpa_mlir._native import (
    FORBIDDEN_COST,
    DeviceSpec,
    Module,
    ShardingModel,
    ShardingProblem,
)
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.intra_op.shard import normalize
from alpa_mlir.intra_op.solve import solve
from alpa_mlir.ir import jaxlib
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.xla.collectives import bytes_by_kind, parse_collectives
from alpa_mlir.xla.diagnostics import rematerializations, with_captured_log

from oracles.annotated_boundary import read_boundary
from oracles.meshes import one_node_mesh

TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class OpCase:
    """A program and the op in it whose strategies are tried."""

    name: str
    op: str
    function: Callable[..., Any]
    arguments: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Outcome:
    """What one strategy led to. Bytes are per device, by kind of collective."""

    strategy: str
    predicted: dict[str, int]
    actual: dict[str, int]
    rematerializations: tuple[str, ...]
    error: float

    def faults(self, byte_scale: int = 1) -> list[str]:
        """What went otherwise than planned; bytes are expected `byte_scale` times as many."""
        faults: list[str] = []
        if not self.error <= TOLERANCE:
            faults.append(f"relative error {self.error:.1e}")
        if self.rematerializations:
            faults.append(f"replicated: {self.rematerializations[0]}")
        if {kind: size * byte_scale for kind, size in self.predicted.items()} != self.actual:
            faults.append(f"predicted {self.predicted}, got {self.actual}")
        return faults


class StrategyTrial:
    """Compiles one program for one mesh under any choice of strategies."""

    def __init__(
        self, case: OpCase, mesh_shape: tuple[int, ...], has_reduce_scatter: bool = False
    ) -> None:
        self.case = case
        self.has_reduce_scatter = has_reduce_scatter
        self.mesh = LogicalMesh.of_shape(mesh_shape)
        traced = jax.jit(case.function, keep_unused=True).trace(*case.arguments)
        self.in_avals, self.in_tree = traced.jaxpr.in_avals, jax.tree.structure(case.arguments)
        self.out_avals, self.out_tree = traced.jaxpr.out_avals, traced.out_tree
        self.text = normalize(jaxlib.generic_text(traced.lower().compiler_ir())).text
        model = self.model()
        self.problem, self.num_vertices = model.problem, model.num_vertices
        self.expected = jax.tree.leaves(jax.jit(case.function)(*case.arguments))

    def model(self) -> ShardingModel:
        self.module = Module.parse(self.text)
        # Communication is all that costs.
        mesh = one_node_mesh(self.mesh.axis_sizes, bytes_per_second=1e8)
        device = DeviceSpec({"f32": 1e18}, 1e15, 0, self.has_reduce_scatter)
        return ShardingModel(self.module, mesh, device)

    def outcomes(self) -> Iterator[Outcome]:
        """One for each strategy of each node that runs the case's op."""
        model = self.model()
        nodes = [i for i in range(model.num_vertices) if self.runs_op(model.node_name(i))]
        assert nodes, f"expected a node {self.case.op} in {self.case}"
        for node in nodes:
            for strategy, name in enumerate(model.strategy_names(node)):
                yield self.outcome(name, self.choices(node, strategy))

    def runs_op(self, node_name: str) -> bool:
        """Each value of a barrier, as of a loop, is a node of its own: "carried 0 of ..."."""
        op = self.case.op
        return node_name == op or (
            op == "stablehlo.optimization_barrier" and node_name.endswith(f" of {op}")
        )

    def choices(self, node: int, strategy: int) -> list[int]:
        """The cheapest choice for all other vertices."""
        fixed = ShardingProblem()
        for i in range(self.problem.num_nodes):
            costs = self.problem.node_costs(i)
            if i == node:
                costs = [c if s == strategy else FORBIDDEN_COST for s, c in enumerate(costs)]
            fixed.add_node((0, 1), costs, [0] * len(costs))
        for edge in range(self.problem.num_edges):
            fixed.add_edge(*self.problem.edge_nodes(edge), self.problem.edge_costs(edge))
        return solve(fixed, time_limit_seconds=10).choices[: self.num_vertices].tolist()

    def outcome(self, name: str, choices: list[int]) -> Outcome:
        model = self.model()
        predicted: dict[str, int] = {}
        for c in model.collectives(choices):
            # Without a pass that makes reduce-scatters, XLA's CPU reduces all and slices.
            kind = "all-reduce" if c.kind == "reduce-scatter" else c.kind
            predicted[kind] = predicted.get(kind, 0) + int(c.bytes * c.count)
        model.apply(choices)
        self.module.run("builtin.module(alpa-annotate-shardings,alpa-verify-shardings)")
        text = self.module.text()
        boundary = read_boundary(text)
        program = AnnotatedProgram(
            name=self.case.name,
            text=text,
            in_avals=tuple(self.in_avals),
            out_avals=tuple(self.out_avals),
            in_specs=boundary.arguments,
            out_specs=boundary.results,
            in_tree=self.in_tree,
            out_tree=self.out_tree,
            donate_argnums=(),
        )
        mesh = self.mesh.over(jax.devices()[: self.mesh.num_devices])
        compiled, log = with_captured_log(lambda: compile_program(program, mesh))
        placed = jax.device_put(self.case.arguments, program.in_shardings(mesh))
        return Outcome(
            strategy=name,
            predicted={k: v for k, v in sorted(predicted.items()) if v},
            actual=dict(sorted(bytes_by_kind(parse_collectives(compiled.as_text() or "")).items())),
            rematerializations=tuple(rematerializations(log)),
            error=_error(jax.tree.leaves(compiled(*placed)), self.expected),
        )


def _error(actual: list[jax.Array], expected: list[jax.Array]) -> float:
    """The largest difference relative to the largest element of a result."""
    errors = [0.0]
    for a, b in zip(actual, expected, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if not a.size or (a == b).all():
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        errors.append(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)))
    return max(errors)
