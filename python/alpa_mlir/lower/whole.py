"""Writes a plan of one program over all devices into its module."""

from __future__ import annotations

from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.intra_op.shard import NormalizedModule, replay
from alpa_mlir.lower.annotate import annotated_text
from alpa_mlir.plan.data import PlanData
from alpa_mlir.program.annotated import AnnotatedProgram, logical_specs


def lower_whole(
    program: TracedProgram, normal: NormalizedModule, plan: PlanData
) -> AnnotatedProgram:
    """The program as the plan says, whether it was just found, loaded or edited.

    Raises:
      PlanError: the plan breaks a rule, which the message names, or was made for another program.
    """
    sharded = replay(normal, plan)
    in_avals = tuple(argument.aval for argument in program.arguments)
    out_avals = tuple(result.aval for result in program.results)
    boundary = sharded.boundary
    return AnnotatedProgram(
        in_avals=in_avals,
        out_avals=out_avals,
        in_specs=logical_specs(boundary.arguments, in_avals),
        out_specs=logical_specs(boundary.results, out_avals),
        name=program.name,
        text=annotated_text(sharded),
        in_tree=program.in_tree,
        out_tree=program.out_tree,
        donate_argnums=program.donate_argnums,
        host_callbacks=program.host_callbacks,
    )
