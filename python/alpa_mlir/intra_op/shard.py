"""Chooses a sharding for every op of a module: strategies, ILP, annotations.

The heart of intra-operator parallelism (Alpa, section 4) from module text to module text.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from alpa_mlir._native import Module, ShardingModel
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cost.device_mesh import native_device, native_mesh
from alpa_mlir.errors import InfeasibleError, PlanError
from alpa_mlir.intra_op.shortage import describe_shortage
from alpa_mlir.intra_op.solution import Solution
from alpa_mlir.intra_op.solve import solve
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.passes import messages, pass_errors, run_passes
from alpa_mlir.plan.data import Choice
from alpa_mlir.progress import Phases

ANNOTATE = ("alpa-annotate-shardings", "alpa-verify-shardings")


@dataclass(frozen=True)
class NormalizedModule:
    """One function without calls whose ops have stable ids and sharding rules.

    Attributes:
      hash: of the module's content, without locations: what a plan is bound to.
    """

    text: str
    hash: str
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ShardedModule:
    """A module with shardings, and how they were found.

    Attributes:
      text: annotated module in generic form; boundary: how its arguments and results lie.
      model: the C++ view of the strategies; holds the module the choices were made on.
      choices: index of the strategy of each vertex of the model.
      solution: the solver's answer, of all nodes; None where the choices came from a plan.
    """

    text: str
    boundary: jaxlib.Boundary
    mesh: LogicalMesh
    model: ShardingModel
    choices: list[int]
    solution: Solution | None
    remarks: tuple[str, ...]


def normalize(text: str) -> NormalizedModule:
    """Runs what comes before the choice of strategies.

    Raises:
      PassError: the module has no public function, or recursion, or does not parse.
    """
    with pass_errors():
        module = Module.parse(text)
    remarks = run_passes(module, "alpa-normalize")
    return NormalizedModule(
        text=jaxlib.populate_rules(module.text(with_locations=True)),
        hash=hashlib.sha256(module.text().encode()).hexdigest(),
        remarks=messages(remarks),
    )


def shard(
    normal: NormalizedModule,
    mesh: LogicalMesh,
    cluster: Cluster,
    strategy_space: str = "auto",
    memory_limit_bytes: int | None = None,
    time_limit_seconds: float = 60.0,
    target_gap: float = 0.0,
    phases: Phases | None = None,
) -> ShardedModule:
    """Finds the cheapest shardings that fit into memory, or any proven within `target_gap` of it.

    Raises:
      InfeasibleError: nothing fits. SolverError: nothing was found in time.
    """
    phases = phases or Phases("shard", is_shown=False)
    with phases(f"enumerate strategies on {mesh}"):
        module, model = _model(normal, mesh, cluster, strategy_space, memory_limit_bytes)
    with phases(f"solve on {mesh}"):
        solution = _solution(model, mesh, time_limit_seconds, target_gap)
    with phases(f"annotate on {mesh}"):
        choices = vertex_choices(model, solution)
        return _annotated(normal, mesh, module, model, choices, solution)


def vertex_choices(model: ShardingModel, solution: Solution) -> list[int]:
    """What is chosen for arguments, ops and carried values; the views of the problem follow."""
    return solution.choices[: model.num_vertices].tolist()


def _solution(
    model: ShardingModel, mesh: LogicalMesh, time_limit_seconds: float, target_gap: float
) -> Solution:
    try:
        return solve(model.problem, time_limit_seconds=time_limit_seconds, target_gap=target_gap)
    except InfeasibleError as error:
        if shortage := describe_shortage(model):
            raise InfeasibleError(f"on the mesh {mesh}, {shortage}") from None
        raise InfeasibleError(f"on the mesh {mesh}: {error}") from None


def replay(
    normal: NormalizedModule,
    mesh: LogicalMesh,
    cluster: Cluster,
    strategy_space: str,
    choices: Sequence[Choice],
) -> ShardedModule:
    """Applies the choices of a plan.

    Raises:
      PlanError: a choice names a node or strategy that is not there.
    """
    module, model = _model(normal, mesh, cluster, strategy_space, None)
    indices = strategy_indices(model, choices)
    return _annotated(normal, mesh, module, model, indices, None)


def strategy_indices(model: ShardingModel, choices: Sequence[Choice]) -> list[int]:
    """Named choices as those of the model.

    Raises:
      PlanError: a choice names a node or strategy that is not there.
    """
    if len(choices) != model.num_vertices:
        raise PlanError(f"expected {model.num_vertices} choices, got {len(choices)}; plan again")
    return [_strategy_index(model, node, choice) for node, choice in enumerate(choices)]


def named_choices(model: ShardingModel, choices: Sequence[int]) -> tuple[Choice, ...]:
    """Choices in a form that outlives the model."""
    return tuple(
        Choice(
            model.op_id(node),
            model.node_name(node),
            model.strategy_names(node)[index],
            model.is_fixed(node),
        )
        for node, index in enumerate(choices)
    )


def unmarked_choices(
    marked: ShardingModel, choices: Sequence[int], unmarked: ShardingModel
) -> tuple[int, ...]:
    """The same strategies in the model of the module without fixed shardings."""
    return tuple(strategy_indices(unmarked, named_choices(marked, choices)))


def _model(
    normal: NormalizedModule,
    mesh: LogicalMesh,
    cluster: Cluster,
    strategy_space: str,
    memory_limit_bytes: int | None,
) -> tuple[Module, ShardingModel]:
    module = Module.parse(normal.text)
    on, device = native_mesh(mesh, cluster), native_device(cluster, memory_limit_bytes)
    with pass_errors():
        model = ShardingModel(module, on, device, strategy_space)
    return module, model


def _annotated(
    normal: NormalizedModule,
    mesh: LogicalMesh,
    module: Module,
    model: ShardingModel,
    choices: list[int],
    solution: Solution | None,
) -> ShardedModule:
    model.apply(choices)
    remarks = run_passes(module, *ANNOTATE)
    text = module.text(with_locations=True)
    return ShardedModule(
        text=text,
        boundary=jaxlib.boundary(text),
        mesh=mesh,
        model=model,
        choices=choices,
        solution=solution,
        remarks=normal.remarks + messages(model.remarks) + messages(remarks),
    )


def _strategy_index(model: ShardingModel, node: int, choice: Choice) -> int:
    where = (model.op_id(node), model.node_name(node))
    if where != (choice.op_id, choice.node):
        raise PlanError(
            f"expected a choice for {where[1]} (op {where[0]}) at position {node}, got one for "
            f"{choice.node} (op {choice.op_id}); plan again"
        )
    names = list(model.strategy_names(node))
    if choice.strategy not in names:
        raise PlanError(
            f"expected one of the strategies {', '.join(names)} for {choice.node} (op "
            f"{choice.op_id}), got '{choice.strategy}'"
        )
    return names.index(choice.strategy)
