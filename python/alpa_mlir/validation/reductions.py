"""Where a pipelined step reduces sums over microbatches that tasks leave in parts.

That is no task's work: the runtime does it on the way to the update, or to the stage that has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.reductions import Reductions
from alpa_mlir.runtime.transfer.reshard import compile_reshard
from alpa_mlir.schedule.instructions import InstructionLists, Run, Transfer


def reductions_of_stages(
    program: PipelineProgram[AnnotatedProgram], lists: InstructionLists, layout: Layout
) -> Iterator[tuple[int, Any]]:
    """The stage that makes the parts, and the executable that runs once per step."""
    maker = {
        value: kind.stage
        for kind, signature in program.values.signatures.items()
        for value in signature.sums
    }
    reductions = Reductions(layout)
    for mesh, instructions in enumerate(lists.meshes):
        for instruction in instructions:
            if not isinstance(instruction, Run | Transfer):
                continue
            before, after = reductions.reduce(mesh, instruction)
            avals = [layout.aval(buffer) for buffer in instruction.reads]
            reshard = compile_reshard(avals, before, after, gives_up=True)
            if reshard is not None:
                first = instruction.reads[reshard.positions[0]]
                yield maker[first.value], reshard.compiled
