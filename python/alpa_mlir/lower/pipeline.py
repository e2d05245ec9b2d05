"""Writes a plan of stages into the step: one annotated program for every kind of task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import jax

from alpa_mlir._native import Module
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.inter_op.layers import LayeredSteps
from alpa_mlir.inter_op.outline import Outline, kind_of
from alpa_mlir.inter_op.prologue import Prologue
from alpa_mlir.inter_op.replay import replay_pipeline
from alpa_mlir.inter_op.sharded_stage import ShardedStage
from alpa_mlir.ir.passes import run_passes
from alpa_mlir.lower.annotate import ANNOTATE, annotated_text
from alpa_mlir.plan.data import PlanData
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.schedule.schedule import Phase, TaskKind


def lower_pipeline(
    program: TracedProgram, steps: LayeredSteps, plan: PlanData
) -> PipelineProgram[AnnotatedProgram]:
    """The step as the plan says, whether it was just found, loaded or edited.

    Raises:
      PlanError: the plan breaks a rule, which the message names, or was made for another program.
    """
    replayed = replay_pipeline(program, steps, plan)
    return annotate_outline(program, replayed.outline, replayed.stages, replayed.prologue)


def annotate_outline(
    program: TracedProgram,
    outline: Outline,
    stages: Sequence[ShardedStage],
    prologue: Prologue | None,
) -> PipelineProgram[AnnotatedProgram]:
    """The outline with a program for every task. Uses the modules of stages and prologue up."""
    programs: dict[TaskKind, AnnotatedProgram] = {}
    for kind, text in _texts(stages, prologue):
        interface = outline.programs[kind]
        programs[kind] = AnnotatedProgram(
            in_avals=interface.in_avals,
            out_avals=interface.out_avals,
            in_specs=interface.in_specs,
            out_specs=interface.out_specs,
            name=f"{program.name}_{_task_name(kind)}",
            text=text,
            in_tree=jax.tree.structure((0,) * len(interface.in_avals)),
            out_tree=jax.tree.structure((0,) * len(interface.out_avals)),
            donate_argnums=(),
            host_callbacks=program.host_callbacks,
        )
    return replace(outline, programs=programs)  # type: ignore[arg-type, return-value]


def _texts(
    stages: Sequence[ShardedStage], prologue: Prologue | None
) -> Iterator[tuple[TaskKind, str]]:
    if prologue is not None:
        yield TaskKind(prologue.stage, Phase.PROLOGUE), annotated_text(prologue.sharded)
    for number, stage in enumerate(stages):
        run_passes(stage.module, *ANNOTATE)
        for function in stage.functions:
            module: Module = stage.module.only(function.name)
            yield kind_of(function, number), module.text(with_locations=True)


def _task_name(kind: TaskKind) -> str:
    name = f"{kind.phase.name.lower()}_stage{kind.stage}"
    return f"{name}_round{kind.round}" if kind.round else name
