"""Where a pipelined step reduces sums over microbatches that tasks leave in parts.

That is no task's work: the runtime does it on the way to the update, or to the stage that has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jax.sharding import NamedSharding

from alpa_mlir.ir.spec import reduced
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.transfer.reshard import compile_reshard
from alpa_mlir.schedule.instructions import Instruction, InstructionLists, Run, Transfer


def reductions_of_stages(
    program: PipelineProgram[AnnotatedProgram], lists: InstructionLists, layout: Layout
) -> Iterator[tuple[int, Any]]:
    """The stage that makes the parts, and the executable that runs once per step."""
    maker = {
        value: kind.stage
        for kind, signature in program.values.signatures.items()
        for value in signature.sums
    }
    for mesh, instructions in enumerate(lists.meshes):
        for instruction in instructions:
            ends = [
                (each, source, target)
                for each, source, target in _ends(layout, mesh, instruction)
                if source.spec.unreduced and source != target
            ]
            if not ends:
                continue
            buffers, sources, targets = zip(*ends, strict=True)
            avals = [layout.aval(buffer) for buffer in buffers]
            reshard = compile_reshard(avals, sources, targets)
            assert reshard is not None
            yield maker[buffers[0].value], reshard.compiled


def _ends(
    layout: Layout, mesh: int, instruction: Instruction
) -> Sequence[tuple[Any, NamedSharding, NamedSharding]]:
    """How what an instruction reads lies, and how it is to lie on its mesh."""
    if not isinstance(instruction, Run | Transfer):
        return []
    sources = [layout.sharding(mesh, buffer) for buffer in instruction.reads]
    targets = (
        layout.in_shardings(instruction.task.kind)
        if isinstance(instruction, Run)
        else [reduced(source) for source in sources]
    )
    return list(zip(instruction.reads, sources, targets, strict=True))
