"""From a traced program and a method to a plan: a pipeline, or one program over all devices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cluster.logical_mesh import candidate_meshes
from alpa_mlir.energy.objective import choose_by_energy
from alpa_mlir.errors import AlpaError, ArgumentError, InfeasibleError, PassError, SolverError
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.inter_op.layers import LayeredSteps
from alpa_mlir.inter_op.microbatches import fewest_starts
from alpa_mlir.inter_op.plan_pipeline import batch_size, plan_pipeline, plan_pipelines
from alpa_mlir.inter_op.replay import replay_pipeline
from alpa_mlir.inter_op.rows import step_in_rows
from alpa_mlir.intra_op.describe import make_plan
from alpa_mlir.intra_op.shard import Effort, normalize, replay, shard
from alpa_mlir.options import (
    Auto,
    FixedPlan,
    FollowPlacement,
    Method,
    PipelineMethod,
    SearchedPipeline,
)
from alpa_mlir.plan.check import check_tensors
from alpa_mlir.plan.data import SCHEDULES, PlanData
from alpa_mlir.plan_cache import kept_plan
from alpa_mlir.processes.group import process_group
from alpa_mlir.progress import Stopwatch, warn_of_interrupt
from alpa_mlir.units import format_seconds

# What the driver takes to start one executable, at least: on CPUs 0.1 to 0.3 ms were measured
# (benchmarks/pipeline_overhead.py).
_START_SECONDS = 50e-6
# Of the solver, for one program that is looked at beside a pipeline: a second, of the largest some
# ten.
_WORK_OF_A_LOOK = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Prepared:
    """A program as planning and lowering start from it.

    Attributes:
      given: its step, where it is normalised already.
      stopwatch: of what is done when it is first asked for.
    """

    program: TracedProgram
    given: LayeredSteps | None = None
    stopwatch: Stopwatch = field(default_factory=lambda: Stopwatch("prepare"))

    @cached_property
    def steps(self) -> LayeredSteps:
        """The step, normalised; cut into layers where pipelines ask for them.

        Raises:
          PassError: the module cannot be normalised.
        """
        if self.given is not None:
            return self.given
        with self.stopwatch("normalize"):
            return LayeredSteps(normalize(self.program.text))

    @cached_property
    def for_pipelines(self) -> Prepared:
        """With stacked state in rows, so that each is where its layer is.

        Not with several processes, which cannot put their rows together yet.
        """
        found = None if process_group() else step_in_rows(self.program, self.steps.normal)
        if found is None:
            return self
        return Prepared(found.program, LayeredSteps(found.normal, is_unrolled=True))

    def of(self, plan: PlanData) -> Prepared:
        """What the plan was made from, if it was from this."""
        names = [argument.name for argument in self.program.arguments]
        if plan.is_pipeline and [tensor.name for tensor in plan.arguments] != names:
            return self.for_pipelines
        return self


def plan_program(
    prepared: Prepared, method: Method | FixedPlan, cluster: Cluster, stopwatch: Stopwatch
) -> PlanData:
    """The plan that the method asks for.

    Raises:
      PassError: the program cannot be split or sharded as asked. InfeasibleError: nothing fits
      into memory. SolverError: nothing was found in time. ArgumentError: the method does not fit
      program or cluster. PlanError: a fixed plan does not.
    """
    if isinstance(method, FixedPlan):
        with stopwatch("replay"):
            _check_fits(prepared, method.plan)
        return method.plan
    plan = _plan(prepared, method, cluster, stopwatch)
    return replace(plan, remarks=(*prepared.program.remarks, *plan.remarks))


def _plan(prepared: Prepared, method: Method, cluster: Cluster, stopwatch: Stopwatch) -> PlanData:
    if isinstance(method, FollowPlacement) and method.leader.is_pipeline:
        return _plan_pipeline(prepared, method, cluster, stopwatch)
    if isinstance(method, SearchedPipeline):
        return kept_plan(
            prepared.program,
            method,
            cluster,
            stopwatch,
            lambda: _search(prepared, method, cluster, stopwatch),
        )
    return _plan_whole(prepared, method, cluster, stopwatch)


def _search(
    prepared: Prepared, method: SearchedPipeline, cluster: Cluster, stopwatch: Stopwatch
) -> PlanData:
    if isinstance(method, Auto) and method.plans_energy:
        return choose_by_energy(_pipelines(prepared, method, cluster, stopwatch), method)
    if isinstance(method, Auto) and not method.asks_for_pipeline:
        return _pipeline_or_whole(prepared, method, cluster, stopwatch)
    return _plan_pipeline(prepared, method, cluster, stopwatch)


def _plan_pipeline(
    prepared: Prepared,
    method: SearchedPipeline | FollowPlacement,
    cluster: Cluster,
    stopwatch: Stopwatch,
) -> PlanData:
    step = _in_rows(prepared, method, stopwatch)
    return plan_pipeline(step.program, step.steps, method, cluster, stopwatch)


def _in_rows(prepared: Prepared, method: PipelineMethod, stopwatch: Stopwatch) -> Prepared:
    if not method.split_stacks:
        return prepared
    with stopwatch("rows of stacks"):
        return prepared.for_pipelines


def _pipelines(
    prepared: Prepared, method: Auto, cluster: Cluster, stopwatch: Stopwatch
) -> list[PlanData]:
    """The fastest plan under every schedule in question, with every number of microbatches tried.

    Raises:
      InfeasibleError: none fits into memory.
    """
    step = _in_rows(prepared, method, stopwatch)
    training = tuple(name for name in SCHEDULES if name != "inference")
    schedules = training if method.schedule == "auto" else (method.schedule,)
    plans: list[PlanData] = []
    refusal: InfeasibleError | None = None
    for schedule in schedules:
        asked = replace(method, schedule=schedule)
        try:
            plans += plan_pipelines(step.program, step.steps, asked, cluster, stopwatch)
        except InfeasibleError as error:
            refusal = error
            continue
        if plans[-1].schedule == "inference":  # whatever was asked, of a step without backward
            break
    if not plans and refusal:
        raise refusal
    return plans


def _check_fits(prepared: Prepared, plan: PlanData) -> None:
    """Raises PlanError where a plan from elsewhere cannot be that of the program."""
    if plan.is_pipeline:
        step = prepared.of(plan)
        replay_pipeline(step.program, step.steps, plan)
    else:
        replay(prepared.steps.normal, plan)
        check_tensors(plan, prepared.program)


def _pipeline_or_whole(
    prepared: Prepared, method: Auto, cluster: Cluster, stopwatch: Stopwatch
) -> PlanData:
    """Whichever is faster, or the only one that is possible.

    The user's own shardings are for a mesh of all devices, which stages cannot always stand in for:
    where there are such, a pipeline is for what does not fit into memory otherwise. Nor is one
    searched for where no pipeline can be as fast, and none is waited for when the user interrupts.
    """
    whole, why_none = None, None
    try:
        whole = _plan_whole(prepared, method, cluster, stopwatch, _WORK_OF_A_LOOK)
    except (InfeasibleError, PassError, SolverError) as error:
        why_none = error
    if whole and prepared.program.mesh is not None:
        return _settled(whole, prepared, method, cluster, stopwatch)
    if whole and (why := _why_no_pipeline(whole, prepared, method, cluster)):
        return _with_remark(_settled(whole, prepared, method, cluster, stopwatch), why)
    try:
        found = _plan_pipeline(prepared, method, cluster, stopwatch)
    except KeyboardInterrupt:
        if whole is None:
            raise
        stopwatch.is_cut_short = True
        warn_of_interrupt("one program")
        return _with_remark(whole, "no pipeline: the search for one was interrupted")
    except AlpaError as refusal:
        if whole is None and not isinstance(why_none, SolverError):
            raise (why_none or refusal) from refusal
        whole = _settled(whole, prepared, method, cluster, stopwatch)
        return _with_remark(whole, f"no pipeline: {refusal}")
    if whole is None:
        return found
    if whole.step_seconds <= found.step_seconds:
        whole = _settled(whole, prepared, method, cluster, stopwatch)
        return whole.beside(found.as_alternative, *found.alternatives)
    return found.beside(whole.as_alternative, *whole.alternatives)


def _settled(
    look: PlanData | None, prepared: Prepared, method: Auto, cluster: Cluster, stopwatch: Stopwatch
) -> PlanData:
    """One program without the limit of a look, which found this, or nothing."""
    if look is not None and look.solver_gap <= method.target_gap:
        return look
    try:
        longer = _plan_whole(prepared, method, cluster, stopwatch)
    except (KeyboardInterrupt, InfeasibleError, SolverError) as error:
        if look is None:
            raise
        if isinstance(error, KeyboardInterrupt):
            stopwatch.is_cut_short = True
            warn_of_interrupt("one program")
        return look
    return min(look or longer, longer, key=lambda plan: plan.step_seconds)


def _why_no_pipeline(
    whole: PlanData, prepared: Prepared, method: Auto, cluster: Cluster
) -> str | None:
    """If a step of one program takes less than it takes to start a pipeline's executables."""
    try:
        starts = fewest_starts(method, cluster, batch_size(prepared.program))
    except ArgumentError:  # without a batch
        return None
    if whole.step_seconds > starts * _START_SECONDS:
        return None
    return (
        f"no pipeline: it would start {starts} executables or more, which takes "
        f"{format_seconds(starts * _START_SECONDS)}; one program's step takes "
        f"{format_seconds(whole.step_seconds)}"
    )


def _with_remark(plan: PlanData, remark: str) -> PlanData:
    return replace(plan, remarks=(*plan.remarks, remark))


def _plan_whole(
    prepared: Prepared,
    method: Method,
    cluster: Cluster,
    stopwatch: Stopwatch,
    work_limit: int | None = None,
) -> PlanData:
    """The plan with the shortest step over all meshes in question."""
    found: list[PlanData] = []
    refusal: AlpaError | None = None
    for mesh in _meshes(prepared.program, method, cluster):
        try:
            sharded = shard(
                prepared.steps.normal,
                mesh,
                cluster,
                method.strategy_space,
                method.memory_limit_bytes,
                Effort(method.time_limit_seconds, method.target_gap, work_limit),
                stopwatch,
            )
        except (InfeasibleError, PassError) as error:  # too large for a mesh of that many axes, say
            refusal = error
            continue
        found.append(make_plan(prepared.program, prepared.steps.normal, sharded, cluster, method))
    if not found:
        raise refusal or AlpaError("expected at least one logical mesh to plan for")
    best, *others = sorted(found, key=lambda plan: plan.step_seconds)
    return best.beside(*(other.as_alternative for other in others))


def _meshes(program: TracedProgram, method: Method, cluster: Cluster) -> list[LogicalMesh]:
    """The mesh of the user's own shardings, the one asked for, or those worth a try."""
    asked = LogicalMesh.of_shape(method.mesh_shape) if method.mesh_shape else None
    fixed = program.mesh
    if asked and fixed and asked.axis_sizes != fixed.axis_sizes:
        raise ArgumentError(
            f"expected mesh_shape {fixed.axis_sizes}, the shape of the mesh that arguments or "
            f"constraints are sharded on, got {method.mesh_shape}; pass the arguments without "
            "shardings, or leave mesh_shape out"
        )
    chosen = fixed or asked
    meshes = [chosen] if chosen else candidate_meshes(cluster)
    if method.strategy_space != "auto":  # these split the batch only: the grid hardly matters
        meshes = meshes[:1]
    for mesh in meshes:
        mesh.check_fits(cluster)
    return meshes
