"""Chooses a sharding for every op of a module: strategies, then the cheapest of them (Alpa, 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from alpa_mlir._native import Module, ShardingModel, ShardingProblem
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cost.device_mesh import native_device, native_mesh
from alpa_mlir.errors import InfeasibleError, PlanError, SolverError
from alpa_mlir.intra_op.shortage import describe_copies, describe_shortage
from alpa_mlir.intra_op.solution import Solution
from alpa_mlir.intra_op.solve import PATIENCE, solve
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.passes import messages, pass_errors, run_passes
from alpa_mlir.ir.spec import Spec, parse_spec
from alpa_mlir.plan.check import check_plan, check_program
from alpa_mlir.plan.data import Choice, PlanData
from alpa_mlir.plan.versions import Versions
from alpa_mlir.progress import Stopwatch

_MAX_TIGHTENINGS = 4  # of the memory limit, until what a plan needs is below it


@dataclass(frozen=True, eq=False)
class NormalizedModule:
    """One function without calls whose ops have stable ids and sharding rules.

    Attributes:
      module: to be cloned by whoever changes it.
      hash: of its content before it had rules, without locations: what a plan is bound to.
    """

    module: Module
    hash: str
    remarks: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        return self.module.text(with_locations=True)


@dataclass(frozen=True)
class Effort:
    """When the solver ends (see `solve`).

    Attributes:
      target_gap: at a choice proven that close to the best; 0 is the best.
      work_limit: in the solver's units, about a billion a second; None leaves it to its patience.
    """

    time_limit_seconds: float = 60.0
    target_gap: float = 0.0
    work_limit: int | None = None


@dataclass(frozen=True)
class Boundary:
    """How the arguments and results of a function lie, and why.

    Attributes:
      readers: for each argument the `alpa.op` id of the op that best explains its sharding: the
        nearest product (or table look-up) behind it, or else its first reader; -1: nobody.
    """

    arguments: tuple[Spec, ...]
    results: tuple[Spec, ...]
    readers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ShardedModule:
    """A module, and a strategy for every vertex of its sharding graph.

    Attributes:
      module: what the model was made of; writing the choices into it is for the lowering.
      choices: index of the strategy of each vertex of the model.
      solution: the solver's answer, of all nodes; None where the choices came from a plan.
    """

    module: Module
    mesh: LogicalMesh
    model: ShardingModel
    choices: list[int]
    solution: Solution | None
    remarks: tuple[str, ...]

    @cached_property
    def boundary(self) -> Boundary:
        found = self.model.boundary(self.choices)
        return Boundary(
            tuple(map(parse_spec, found.arguments)),
            tuple(map(parse_spec, found.results)),
            tuple(found.readers),
        )


def normalize(text: str) -> NormalizedModule:
    """Runs what comes before the choice of strategies.

    Raises:
      PassError: the module has no public function, or recursion, or does not parse.
    """
    with pass_errors():
        module = Module.parse(text)
    return normalize_module(module)


def normalize_module(module: Module) -> NormalizedModule:
    """As `normalize`, of a module that becomes the result's."""
    remarks = run_passes(module, "alpa-normalize")
    content = module.content_hash()
    jaxlib.give_rules(module)
    return NormalizedModule(module, content, messages(remarks))


def shard(
    normal: NormalizedModule,
    mesh: LogicalMesh,
    cluster: Cluster,
    strategy_space: str = "auto",
    memory_limit_bytes: int | None = None,
    effort: Effort = Effort(),
    stopwatch: Stopwatch | None = None,
) -> ShardedModule:
    """Finds the cheapest shardings that fit into memory, or any proven close enough to it.

    Raises:
      InfeasibleError: nothing fits. SolverError: nothing was found in time.
    """
    stopwatch = stopwatch or Stopwatch("shard")
    with stopwatch(f"enumerate strategies on {mesh}"):
        module, model = _model(normal, mesh, cluster, strategy_space, memory_limit_bytes)
    with stopwatch(f"solve on {mesh}"):
        try:
            solution = _fitting_solution(model, mesh, effort)
        except SolverError:  # nothing was found in time
            stopwatch.is_cut_short = True
            raise
    stopwatch.is_cut_short |= solution.is_out_of_time and solution.gap > effort.target_gap
    remarks = normal.remarks + messages(model.remarks)
    return ShardedModule(module, mesh, model, vertex_choices(model, solution), solution, remarks)


def vertex_choices(model: ShardingModel, solution: Solution) -> list[int]:
    """What is chosen for arguments, ops and carried values; the views of the problem follow."""
    return solution.choices[: model.num_vertices].tolist()


def cost_and_bound(model: ShardingModel, solution: Solution) -> tuple[int, int]:
    """What the module costs as chosen, and what no choice is below; picoseconds of a step.

    That is the problem's cost or less (docs/decisions, "One price per reshard"), but for the
    rounding of the problem's parts.
    """
    cost = min(model.cost(vertex_choices(model, solution)), solution.cost)
    return cost, min(solution.lower_bound, cost)


def _fitting_solution(model: ShardingModel, mesh: LogicalMesh, effort: Effort) -> Solution:
    """A solution that fits with the copies its reshards make, which the problem does not know of.

    It is to need as much less as is missing. The lower bound of the first problem is that of all
    solutions that fit.
    """
    problem = model.problem
    limit = problem.usage_limit
    first = solution = _first_solution(model, mesh, effort)
    needed = model.peak_bytes(vertex_choices(model, solution))
    for _ in range(_MAX_TIGHTENINGS):
        if limit is None or needed <= limit:
            break
        problem.usage_limit = max(0, solution.peak_usage - (needed - limit))
        try:
            solution = _solve(problem, effort)
        except (InfeasibleError, SolverError):
            break
        finally:
            problem.usage_limit = limit
        needed = model.peak_bytes(vertex_choices(model, solution))
    if limit is not None and needed > limit:
        raise InfeasibleError(f"on the mesh {mesh}, {describe_copies(needed, limit)}")
    return replace(solution, lower_bound=min(first.lower_bound, solution.cost))


def _solve(problem: ShardingProblem, effort: Effort) -> Solution:
    return solve(
        problem,
        time_limit_seconds=effort.time_limit_seconds,
        target_gap=effort.target_gap,
        work_limit=effort.work_limit,
        patience=PATIENCE,
    )


def _first_solution(model: ShardingModel, mesh: LogicalMesh, effort: Effort) -> Solution:
    try:
        return _solve(model.problem, effort)
    except InfeasibleError as error:
        if shortage := describe_shortage(model):
            raise InfeasibleError(f"on the mesh {mesh}, {shortage}") from None
        raise InfeasibleError(f"on the mesh {mesh}: {error}") from None


def shard_as_planned(
    normal: NormalizedModule,
    mesh: LogicalMesh,
    cluster: Cluster,
    strategy_space: str,
    choices: Sequence[Choice],
    path: str,
) -> ShardedModule:
    """Applies the choices that stand at `path` of a plan.

    Raises:
      PlanError: a choice names a node or strategy that is not there.
    """
    module, model = _model(normal, mesh, cluster, strategy_space, None)
    indices = strategy_indices(model, choices, path)
    return ShardedModule(module, mesh, model, indices, None, normal.remarks)


def replay(normal: NormalizedModule, plan: PlanData) -> ShardedModule:
    """The module as a plan of one program says.

    Raises:
      PlanError: the plan breaks a rule, which the message names, or was made for another program.
    """
    check_program(plan, normal.hash, Versions.here())
    check_plan(plan)
    return shard_as_planned(
        normal, plan.mesh, plan.cluster, plan.strategy_space, plan.choices, "stages[0].choices"
    )


def strategy_indices(
    model: ShardingModel, choices: Sequence[Choice], path: str = "choices"
) -> list[int]:
    """Named choices, which stand at `path` of a plan, as those of the model.

    Raises:
      PlanError: a choice names a node or strategy that is not there.
    """
    if len(choices) != model.num_vertices:
        raise PlanError(
            f"{path}: expected {model.num_vertices} choices, got {len(choices)}; plan again"
        )
    return [
        _strategy_index(model, node, choice, f"{path}[{node}]")
        for node, choice in enumerate(choices)
    ]


def named_choices(model: ShardingModel, choices: Sequence[int]) -> tuple[Choice, ...]:
    """Choices in a form that outlives the model.

    Args:
      choices: of every vertex; those of further nodes of the problem, which follow, say no more.

    Raises:
      PlanError: they are not one strategy of every vertex; those kept on disk may be damaged.
    """
    names = [model.strategy_names(node) for node in range(model.num_vertices)]
    chosen = choices[: len(names)]
    if len(names) != len(chosen) or not all(
        0 <= index < len(there) for index, there in zip(chosen, names, strict=True)
    ):
        raise PlanError(
            f"expected a strategy of each of the {len(names)} vertices of the sharding graph, got "
            "others; remove what the method's cache_dir holds, and plan again"
        )
    return tuple(
        Choice(model.op_id(node), model.node_name(node), there[index], model.is_fixed(node))
        for node, (index, there) in enumerate(zip(chosen, names, strict=True))
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
    module = normal.module.clone()
    on, device = native_mesh(mesh, cluster), native_device(cluster, memory_limit_bytes)
    with pass_errors():
        model = ShardingModel(module, on, device, strategy_space)
    return module, model


def _strategy_index(model: ShardingModel, node: int, choice: Choice, path: str) -> int:
    where = (model.op_id(node), model.node_name(node))
    if where != (choice.op_id, choice.node):
        raise PlanError(
            f"{path}: expected a choice for {where[1]} (op {where[0]}), got one for "
            f"{choice.node} (op {choice.op_id}); plan again"
        )
    names = list(model.strategy_names(node))
    if choice.strategy not in names:
        raise PlanError(
            f"{path}.strategy: expected one of the strategies {', '.join(names)} for "
            f"{choice.node} (op {choice.op_id}), got '{choice.strategy}'; name one of them"
        )
    return names.index(choice.strategy)
