"""From a traced step to a pipeline and its plan: searched, or as a plan says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.errors import ArgumentError, PassError, PlanError
from alpa_mlir.frontend.trace import Program
from alpa_mlir.inter_op.crossings import planned_transfers, received_transfers
from alpa_mlir.inter_op.follow import follow_pipeline
from alpa_mlir.inter_op.layers import LayeredStep, SplitStep, unroll_layers
from alpa_mlir.inter_op.microbatches import search_pipeline
from alpa_mlir.inter_op.search import PipelineChoice
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.describe import (
    argument_role,
    planned_collectives,
    result_roles,
    tensor_plan,
)
from alpa_mlir.intra_op.shard import NormalizedModule, named_choices, strategy_indices
from alpa_mlir.ir.spec import Spec
from alpa_mlir.lower.pipeline import StageToLower, lower_pipeline
from alpa_mlir.options import SCHEDULES, FollowPlacement, PipelineMethod, SearchedPipeline
from alpa_mlir.plan.data import Plan, PlannedStage, TensorPlan
from alpa_mlir.program.pipeline import ArgumentResult, PipelineProgram
from alpa_mlir.progress import Phases
from alpa_mlir.simulate.planned import planned_timeline


@dataclass(frozen=True, eq=False)
class PlannedPipeline:
    """A plan, and the step written as it says."""

    plan: Plan
    program: PipelineProgram


def plan_pipeline(
    program: Program,
    normal: NormalizedModule,
    method: SearchedPipeline | FollowPlacement,
    cluster: Cluster,
    phases: Phases,
) -> PlannedPipeline:
    """Searches for the fastest pipeline, or follows one that is there.

    Raises:
      PassError: the step cannot be split. InfeasibleError: nothing fits into memory.
    """
    with phases("unroll layers"):
        step = unroll_layers(normal)
    size = batch_size(program)
    if isinstance(method, FollowPlacement):
        with phases("follow"):
            choice = follow_pipeline(step, program, method, size)
    else:
        choice = search_pipeline(step, method, cluster, size, phases)
    with phases("lower stages"):
        split = choice.layered.split(
            [stage.first_layer for stage in choice.stages],
            [number for number, stage in enumerate(choice.stages) if stage.is_rematerialized],
        )
        models = [
            _model(split, number, stage.mesh, cluster, method.strategy_space)
            for number, stage in enumerate(choice.stages)
        ]
        stages = tuple(
            PlannedStage(
                first_layer=stage.first_layer,
                end_layer=stage.end_layer,
                first_device=stage.first_device,
                submesh=stage.submesh,
                mesh=stage.mesh,
                choices=named_choices(model.model, stage.cost.choices),
                collectives=planned_collectives(model.model, stage.cost.choices),
                forward_seconds=stage.cost.forward_seconds,
                backward_seconds=stage.cost.backward_seconds,
                update_seconds=stage.cost.update_seconds,
                is_rematerialized=stage.is_rematerialized,
                num_in_flight=stage.num_in_flight,
                memory_bytes=stage.cost.memory_bytes(stage.num_in_flight),
                cost=stage.cost.cost,
                lower_bound=stage.cost.lower_bound,
            )
            for stage, model in zip(choice.stages, models, strict=True)
        )
        lowered = lower_pipeline(
            program,
            split,
            [
                StageToLower(model, stage.cost.choices, stage.first_device)
                for stage, model in zip(choice.stages, models, strict=True)
            ],
            choice.schedule,
            cluster,
        )
    plan = _make_plan(program, normal, step, method, cluster, choice, split, stages, lowered)
    return PlannedPipeline(plan, lowered)


def replay_pipeline(program: Program, normal: NormalizedModule, plan: Plan) -> PlannedPipeline:
    """The pipeline of a plan that was saved, shipped or edited.

    Raises:
      PlanError: it breaks a rule, which the message names, or was made for another program.
    """
    plan.check_program(normal.hash)
    plan.check()
    if plan.schedule not in SCHEDULES:
        raise PlanError(
            f"expected a schedule none, {', '.join(SCHEDULES)}, got '{plan.schedule}'; correct it"
        )
    if batch_size(program) % plan.num_microbatches:
        raise PlanError(
            f"expected a number of microbatches that divides the batch of {batch_size(program)}, "
            f"got {plan.num_microbatches}; correct it"
        )
    split = _split_as_planned(normal, plan)
    has_backward = any(f.attributes["alpa.phase"] == "backward" for f in split.stage_functions())
    if has_backward == (plan.schedule == "inference"):
        raise PlanError(
            f"expected a schedule of a step {'with' if has_backward else 'without'} a backward "
            f"pass, got '{plan.schedule}'; correct it"
        )
    stages: list[StageToLower] = []
    for number, stage in enumerate(plan.stages):
        model = _model(split, number, stage.mesh, plan.cluster, plan.strategy_space)
        try:
            choices = strategy_indices(model.model, stage.choices)
        except PlanError as error:
            raise PlanError(f"stage {number}: {error}") from None
        stages.append(StageToLower(model, choices, stage.first_device))
    lowered = lower_pipeline(program, split, stages, plan.schedule, plan.cluster)
    return PlannedPipeline(plan, lowered)


def _split_as_planned(normal: NormalizedModule, plan: Plan) -> SplitStep:
    try:
        layered = LayeredStep.make(
            unroll_layers(normal),
            plan.num_microbatches,
            plan.num_layers,
            plan.allow_local_statistics,
        )
        return layered.split(
            [stage.first_layer for stage in plan.stages],
            [number for number, stage in enumerate(plan.stages) if stage.is_rematerialized],
        )
    except PassError as error:
        raise PlanError(
            f"the step cannot be cut as the plan says; correct the plan or plan again: {error}"
        ) from None


def batch_size(program: Program) -> int:
    """Examples in the batch: what dim 0 of all batch arguments has in common.

    Raises:
      ArgumentError: no argument is a batch.
    """
    sizes = [a.aval.shape[0] for a in program.arguments if a.is_batch and a.aval.shape]
    if not sizes:
        raise ArgumentError(
            f"expected a batch argument of {program.name} to cut into microbatches, got none; "
            "name its position in batch_argnums, or plan with ShardParallel()"
        )
    return gcd(*sizes)


def _model(
    split: SplitStep,
    number: int,
    mesh: LogicalMesh,
    cluster: Cluster,
    strategy_space: str,
) -> StageModel:
    text = split.stage(number).text_with_locations
    return StageModel.make(text, mesh, cluster, strategy_space)


def _make_plan(
    program: Program,
    normal: NormalizedModule,
    step: NormalizedModule,
    method: PipelineMethod,
    cluster: Cluster,
    choice: PipelineChoice,
    split: SplitStep,
    stages: tuple[PlannedStage, ...],
    lowered: PipelineProgram,
) -> Plan:
    plan = Plan(
        program_name=program.name,
        program_hash=normal.hash,
        method=type(method).__name__,
        strategy_space=method.strategy_space,
        cluster=cluster,
        stages=stages,
        schedule=choice.schedule,
        num_microbatches=choice.layered.num_microbatches,
        num_layers=choice.layered.num_layers,
        allow_local_statistics=method.allow_local_statistics,
        arguments=_arguments(program, lowered),
        results=_results(program, lowered),
        transfers=received_transfers(lowered, planned_transfers(split)),
        step_seconds=0.0,
        remarks=step.remarks + choice.layered.remarks,
    )
    timeline = planned_timeline(plan, lowered.schedule)
    return replace(plan, step_seconds=timeline.makespan_seconds)


def _arguments(program: Program, lowered: PipelineProgram) -> tuple[TensorPlan, ...]:
    plans: list[TensorPlan] = []
    for argument, placed in zip(program.arguments, lowered.arguments, strict=True):
        stage, spec = _reader(lowered, placed.value, placed.owner)
        plans.append(
            tensor_plan(
                argument.name,
                argument_role(argument),
                argument.aval,
                spec or ((),) * len(argument.aval.shape),
                lowered.stages[stage or 0].mesh,
                stage=stage,
            )
        )
    return tuple(plans)


def _reader(
    lowered: PipelineProgram, value: str, stage: int | None
) -> tuple[int | None, Spec | None]:
    """The stage that reads a value (the first, where none is given), and how it lies there."""
    for kind, signature in lowered.values.signatures.items():
        if value in signature.inputs and stage in (None, kind.stage):
            spec = lowered.programs[kind].in_specs[signature.inputs.index(value)]
            return kind.stage, spec
    return None, None


def _results(program: Program, lowered: PipelineProgram) -> tuple[TensorPlan, ...]:
    plans: list[TensorPlan] = []
    for number, role in enumerate(result_roles(program)):
        result, source = program.results[number], lowered.results[number]
        if isinstance(source, ArgumentResult):
            plans.append(replace(_arguments(program, lowered)[source.position], name=result.name))
            continue
        kind = lowered.writer(source.value)
        assert kind is not None
        outputs = lowered.values.signatures[kind].outputs
        spec = lowered.programs[kind].out_specs[outputs.index(source.value)]
        mesh = lowered.stages[kind.stage].mesh
        plans.append(tensor_plan(result.name, role, result.aval, spec, mesh, stage=kind.stage))
    return tuple(plans)
