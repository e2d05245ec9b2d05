"""Reads the plan of a pipeline back: the step cut and sharded as it says, nothing searched."""

from __future__ import annotations

from dataclasses import dataclass

from alpa_mlir.errors import PassError, PlanError
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.inter_op.layers import LayeredSteps, SplitStep
from alpa_mlir.inter_op.outline import Outline, outline_pipeline
from alpa_mlir.inter_op.plan_pipeline import batch_size
from alpa_mlir.inter_op.prologue import Prologue, prologue_as_planned
from alpa_mlir.inter_op.sharded_stage import ShardedStage, StageModel
from alpa_mlir.intra_op.shard import strategy_indices
from alpa_mlir.plan.check import check_plan, check_program, check_tensors
from alpa_mlir.plan.data import PlanData
from alpa_mlir.plan.versions import Versions


@dataclass(frozen=True, eq=False)
class ReplayedPipeline:
    """The outline that a plan says, and the modules that its programs are made of."""

    outline: Outline
    stages: tuple[ShardedStage, ...]
    prologue: Prologue | None


def replay_pipeline(
    program: TracedProgram, steps: LayeredSteps, plan: PlanData
) -> ReplayedPipeline:
    """The pipeline of a plan that was found, saved, shipped or edited.

    Raises:
      PlanError: it breaks a rule, which the message names, or was made for another program.
    """
    _check(program, steps.normal.hash, plan)
    split = _split_as_planned(steps, plan)
    if split.has_backward == (plan.schedule == "inference"):
        raise PlanError(
            f"schedule: expected one of a step {'with' if split.has_backward else 'without'} a "
            f"backward pass, got '{plan.schedule}'; correct it"
        )
    stages = tuple(_sharded_stage(split, number, plan) for number in range(len(plan.stages)))
    prologue = prologue_as_planned(split, plan)
    owners = {
        position: tensor.stage
        for position, tensor in enumerate(plan.arguments)
        if tensor.stage is not None
    }
    first_devices = [stage.first_device for stage in plan.stages]
    outline = outline_pipeline(
        program, split, stages, first_devices, prologue, plan.schedule, owners
    )
    _check_owners(outline, plan)
    return ReplayedPipeline(outline, stages, prologue)


def _check(program: TracedProgram, program_hash: str, plan: PlanData) -> None:
    check_program(plan, program_hash, Versions.here())
    check_plan(plan)
    size = batch_size(program)
    if size % plan.num_microbatches:
        raise PlanError(
            f"num_microbatches: expected a number that divides the batch of {size}, got "
            f"{plan.num_microbatches}; correct it"
        )
    check_tensors(plan, program)


def _check_owners(outline: Outline, plan: PlanData) -> None:
    """Arguments lie on a stage that reads them; what none reads lies nowhere."""
    for number, (argument, tensor) in enumerate(
        zip(outline.arguments, plan.arguments, strict=True)
    ):
        readers = outline.reading_stages(argument.value)
        stages = readers or (None,)
        if tensor.stage not in stages:
            raise PlanError(
                f"arguments[{number}].stage: expected one that reads it, of "
                f"{', '.join(map(str, stages))}, got {tensor.stage}; correct the plan"
            )


def _split_as_planned(steps: LayeredSteps, plan: PlanData) -> SplitStep:
    try:
        layered = steps.get(plan.num_microbatches, plan.num_layers, plan.allow_local_statistics)
        return layered.split(
            [stage.first_layer for stage in plan.stages],
            [number for number, stage in enumerate(plan.stages) if stage.is_rematerialized],
        )
    except PassError as error:
        raise PlanError(
            f"the step cannot be cut as the plan says; correct the plan or plan again: {error}"
        ) from None


def _sharded_stage(split: SplitStep, number: int, plan: PlanData) -> ShardedStage:
    stage, module = plan.stages[number], split.stage(number).module.clone()
    model = StageModel.of(module, stage.mesh, plan.cluster, plan.strategy_space)
    choices = strategy_indices(model.model, stage.choices, f"stages[{number}].choices")
    return model.phases(choices, number)
