"""From a traced step to the plan of its pipeline: what the search found, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from math import gcd

from alpa_mlir.cluster import Cluster
from alpa_mlir.errors import ArgumentError
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.garbage import uncollected
from alpa_mlir.inter_op.choose import ChosenStage
from alpa_mlir.inter_op.crossings import planned_transfers, received_transfers
from alpa_mlir.inter_op.follow import follow_pipeline
from alpa_mlir.inter_op.layers import LayeredSteps
from alpa_mlir.inter_op.microbatches import search_pipelines
from alpa_mlir.inter_op.options import StageOption
from alpa_mlir.inter_op.outline import Outline, outline_pipeline
from alpa_mlir.inter_op.prologue import Prologue, shard_prologue
from alpa_mlir.inter_op.search import PipelineChoice
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.describe import (
    PICOSECOND,
    argument_role,
    planned_collectives,
    result_roles,
    tensor_plan,
)
from alpa_mlir.intra_op.shard import cost_and_bound, named_choices
from alpa_mlir.ir.spec import replicated
from alpa_mlir.options import FollowPlacement, SearchedPipeline
from alpa_mlir.plan.data import (
    Alternative,
    PlanData,
    PlannedPrologue,
    PlannedStage,
    TemporaryBytes,
    TensorPlan,
    pipeline_outline,
)
from alpa_mlir.plan.versions import Versions
from alpa_mlir.program.pipeline import ArgumentResult
from alpa_mlir.program.placements import Placements
from alpa_mlir.program.planned_values import converted_bytes, planned_values
from alpa_mlir.progress import Stopwatch
from alpa_mlir.simulate.planned import planned_timeline


def plan_pipeline(
    program: TracedProgram,
    steps: LayeredSteps,
    method: SearchedPipeline | FollowPlacement,
    cluster: Cluster,
    stopwatch: Stopwatch,
) -> PlanData:
    """Searches for the fastest pipeline, or follows one that is there.

    Raises:
      PassError: the step cannot be split. InfeasibleError: nothing fits into memory.
    """
    size = batch_size(program)
    if isinstance(method, FollowPlacement):
        with stopwatch("follow"):
            found = [follow_pipeline(steps, program, method, size)]
    else:
        found = search_pipelines(steps, method, cluster, size, stopwatch)
    choice, *others = sorted(found, key=lambda choice: choice.step_seconds)
    with stopwatch("describe stages"):
        plan = _describe(program, steps, method, cluster, choice)
    return plan.beside(*map(_alternative, others))


def _alternative(choice: PipelineChoice) -> Alternative:
    name = pipeline_outline(len(choice.stages), choice.layered.num_microbatches, choice.schedule)
    return Alternative(name, choice.step_seconds)


def plan_pipelines(
    program: TracedProgram,
    steps: LayeredSteps,
    method: SearchedPipeline,
    cluster: Cluster,
    stopwatch: Stopwatch,
) -> list[PlanData]:
    """The fastest pipeline with each number of microbatches that the search tries.

    Raises:
      PassError: the step cannot be split. InfeasibleError: nothing fits into memory.
    """
    size = batch_size(program)
    found = search_pipelines(steps, method, cluster, size, stopwatch, slower_too=True)
    with stopwatch("describe stages"):
        return [_describe(program, steps, method, cluster, choice) for choice in found]


def batch_size(program: TracedProgram) -> int:
    """Examples in the batch: what the batch dims of all batch arguments have in common.

    Raises:
      ArgumentError: no argument is a batch.
    """
    sizes = [a.aval.shape[a.batch_dim] for a in program.arguments if a.batch_dim is not None]
    if not sizes:
        raise ArgumentError(
            f"expected a batch argument of {program.name} to cut into microbatches, got none; "
            "name its position in batch_argnums, or plan with ShardParallel()"
        )
    return gcd(*sizes)


@uncollected()
def _describe(
    program: TracedProgram,
    steps: LayeredSteps,
    method: SearchedPipeline | FollowPlacement,
    cluster: Cluster,
    choice: PipelineChoice,
) -> PlanData:
    layered, split = choice.layered, choice.split
    models = [
        StageModel.of(
            split.stage(number).module.clone(), option.mesh, cluster, method.strategy_space
        )
        for number, option in enumerate(choice.options)
    ]
    stages = tuple(map(_planned_stage, choice.stages, choice.options, models))
    sharded = [
        model.phases(option.known_cost.choices, number)
        for number, (model, option) in enumerate(zip(models, choice.options, strict=True))
    ]
    prologue = shard_prologue(split, [option.mesh for option in choice.options], cluster)
    first_devices = [stage.first_device for stage in choice.stages]
    outline = outline_pipeline(program, split, sharded, first_devices, prologue, choice.schedule)
    transfers = received_transfers(outline, planned_transfers(split))
    plan = PlanData(
        versions=Versions.here(),
        program_name=program.name,
        program_hash=steps.normal.hash,
        method=type(method).__name__,
        strategy_space=method.strategy_space,
        cluster=cluster,
        stages=_with_conversions(stages, outline),
        prologue=prologue and _planned_prologue(prologue),
        schedule=choice.schedule,
        num_microbatches=layered.num_microbatches,
        num_layers=layered.num_layers,
        allow_local_statistics=method.allow_local_statistics,
        arguments=_arguments(program, outline),
        results=_results(program, outline),
        transfers=transfers,
        values=planned_values(outline, transfers),
        step_seconds=0.0,
        remarks=steps.unrolled.remarks + layered.remarks,
    )
    return replace(plan, step_seconds=planned_timeline(plan).makespan_seconds)


def _planned_stage(stage: ChosenStage, option: StageOption, model: StageModel) -> PlannedStage:
    cost = option.known_cost
    return PlannedStage(
        first_layer=stage.first_layer,
        end_layer=stage.end_layer,
        first_device=stage.first_device,
        submesh=stage.submesh,
        mesh=option.mesh,
        choices=named_choices(model.model, cost.choices),
        collectives=planned_collectives(model.model, cost.choices),
        forward_seconds=cost.forward_seconds,
        backward_seconds=cost.backward_seconds,
        update_seconds=cost.update_seconds,
        is_rematerialized=option.is_rematerialized,
        num_in_flight=stage.num_in_flight,
        memory_bytes=cost.memory_bytes(stage.num_in_flight),
        temporary_bytes=_temporary_bytes(model.model.phase_temporary_bytes(cost.choices)),
        cost=cost.cost,
        lower_bound=cost.lower_bound,
    )


def _temporary_bytes(by_phase: Mapping[str, int]) -> TemporaryBytes:
    phases = [each.name for each in fields(TemporaryBytes)]
    return TemporaryBytes(**{phase: by_phase.get(phase, 0) for phase in phases})


def _with_conversions(stages: Sequence[PlannedStage], outline: Outline) -> tuple[PlannedStage, ...]:
    """With what their tasks reshard before they read it as a part of what they need."""
    placements = Placements(outline)
    most: dict[tuple[int, str], int] = {}
    for kind in outline.programs:
        task = kind.stage, kind.phase.name.lower()
        most[task] = max(most.get(task, 0), converted_bytes(outline, placements, kind))
    return tuple(
        replace(
            stage,
            temporary_bytes=TemporaryBytes(
                **{
                    phase: num_bytes + most.get((number, phase), 0)
                    for phase, num_bytes in asdict(stage.temporary_bytes).items()
                }
            ),
        )
        for number, stage in enumerate(stages)
    )


def _planned_prologue(prologue: Prologue) -> PlannedPrologue:
    sharded = prologue.sharded
    assert sharded.solution is not None
    cost, lower_bound = cost_and_bound(sharded.model, sharded.solution)
    return PlannedPrologue(
        stage=prologue.stage,
        choices=named_choices(sharded.model, sharded.choices),
        collectives=planned_collectives(sharded.model, sharded.choices),
        seconds=cost * PICOSECOND,
        cost=cost,
        lower_bound=lower_bound,
    )


def _arguments(program: TracedProgram, outline: Outline) -> tuple[TensorPlan, ...]:
    plans: list[TensorPlan] = []
    for argument, placed in zip(program.arguments, outline.arguments, strict=True):
        kinds = outline.readers(placed.value)
        reader = next((kind for kind in kinds if placed.owner in (None, kind.stage)), None)
        stage, spec = 0, replicated(len(argument.aval.shape))
        if reader is not None:
            inputs = outline.values.signatures[reader].inputs
            stage = reader.stage
            spec = outline.programs[reader].in_specs[inputs.index(placed.value)]
        plans.append(
            tensor_plan(
                argument.name,
                argument_role(argument),
                argument.aval,
                spec,
                outline.stages[stage].mesh,
                stage=None if reader is None else stage,
            )
        )
    return tuple(plans)


def _results(program: TracedProgram, outline: Outline) -> tuple[TensorPlan, ...]:
    arguments = _arguments(program, outline)
    plans: list[TensorPlan] = []
    for number, role in enumerate(result_roles(program)):
        result, source = program.results[number], outline.results[number]
        if isinstance(source, ArgumentResult):
            plans.append(replace(arguments[source.position], name=result.name))
            continue
        kind = outline.writer(source.value)
        assert kind is not None
        outputs = outline.values.signatures[kind].outputs
        spec = outline.programs[kind].out_specs[outputs.index(source.value)]
        mesh = outline.stages[kind.stage].mesh
        plans.append(tensor_plan(result.name, role, result.aval, spec, mesh, stage=kind.stage))
    return tuple(plans)
