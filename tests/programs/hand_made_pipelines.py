"""Pipelines of a model on submeshes given by hand: everything but the search.

Layers are as many as stages, and shardings the first good ones: what a pipeline computes must not
depend on either.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import alpa_mlir as alpa
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.frontend.signature import Signature
from alpa_mlir.frontend.trace import trace
from alpa_mlir.inter_op.layers import LayeredStep, unroll_layers
from alpa_mlir.inter_op.outline import outline_pipeline
from alpa_mlir.inter_op.prologue import shard_prologue
from alpa_mlir.inter_op.sharded_stage import ShardedStage, StageModel
from alpa_mlir.intra_op.shard import normalize, vertex_choices
from alpa_mlir.intra_op.solve import solve
from alpa_mlir.lower.pipeline import annotate_outline
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS, make_schedule
from alpa_mlir.schedule.schedule import Phase


def hand_made_pipeline(
    fn: Callable[..., Any],
    arguments: Sequence[Any],
    mesh_shapes: Sequence[tuple[int, ...]],
    num_microbatches: int,
    *,
    allow_local_statistics: bool = False,
    rematerialized: Sequence[int] = (),
) -> PipelineProgram[AnnotatedProgram]:
    """`fn` of such arguments with a stage on each of these logical meshes, under 1F1B."""
    cluster = alpa.Cluster.local()
    signature = Signature(fn)
    program = trace(signature, signature.bind(tuple(arguments), {}), batch_argnums=(1,))
    step = unroll_layers(normalize(program.text))
    layered = LayeredStep.make(step, num_microbatches, len(mesh_shapes), allow_local_statistics)
    split = layered.split(range(len(mesh_shapes)), rematerialized)
    stages: list[ShardedStage] = []
    first_devices = [0]
    for number, shape in enumerate(mesh_shapes):
        mesh = LogicalMesh.of_shape(shape)
        model = StageModel.of(split.stage(number).module.clone(), mesh, cluster)
        solution = solve(model.model.problem, time_limit_seconds=2.0, target_gap=0.2)
        stages.append(model.phases(vertex_choices(model.model, solution), number))
        first_devices.append(first_devices[-1] + mesh.num_devices)
    prologue = shard_prologue(split, [stage.mesh for stage in stages], cluster)
    outline = outline_pipeline(program, split, stages, first_devices[:-1], prologue, "1f1b")
    return annotate_outline(program, outline, stages, prologue)


def with_schedule(
    program: PipelineProgram[AnnotatedProgram], name: str
) -> PipelineProgram[AnnotatedProgram]:
    """The same tasks in the order of another schedule."""
    kinds = program.values.signatures
    prologue = next((kind.stage for kind in kinds if kind.phase == Phase.PROLOGUE), None)
    rounds = max((kind.round + 1 for kind in kinds if kind.phase == Phase.UPDATE), default=0)
    old = program.schedule
    schedule = make_schedule(
        SCHEDULE_KINDS[name], old.num_stages, old.num_microbatches, prologue, rounds
    )
    return dataclasses.replace(program, schedule=schedule)
