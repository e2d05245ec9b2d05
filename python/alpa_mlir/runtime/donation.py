"""Which inputs of each executable its results may take the memory of.

An input qualifies if its buffer is dead behind the task in every microbatch, or is a sum that the
task adds to, and if nobody else can
see its memory: not the user, whose arrays `jax.device_put` may pass on as they are, and not a mesh
that shares devices with this one. It is donated if a result has its shape, dtype and sharding:
XLA could not use it otherwise. State comes before other inputs (sums of gradients are like the
parameters), so that it is updated in place and nothing old is left with the user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.schedule.instructions import Free, Instruction, InstructionLists, Run, Transfer
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer


def find_donations(
    program: PipelineProgram[AnnotatedProgram], lists: InstructionLists, layout: Layout
) -> dict[TaskKind, tuple[int, ...]]:
    """For every kind of task, the positions of the inputs it donates."""
    shared = _shared_buffers(program, lists, layout)
    dead: dict[TaskKind, set[int]] = {}
    for mesh, instructions in enumerate(lists.meshes):
        for run, freed in _runs(instructions):
            uses = Counter(run.reads)
            shardings = layout.in_shardings(run.task.kind)
            positions = {
                position
                for position, buffer in enumerate(run.reads)
                if (buffer in freed or buffer in run.writes)
                and uses[buffer] == 1
                and (mesh, buffer) not in shared
                and layout.sharding(mesh, buffer) == shardings[position]
            }
            dead[run.task.kind] = dead.get(run.task.kind, positions) & positions
    return {
        kind: _usable(program.programs[kind], _state_first(program, kind, positions))
        for kind, positions in dead.items()
    }


def _runs(instructions: Sequence[Instruction]) -> list[tuple[Run, set[Buffer]]]:
    """Every run with the buffers that are freed before the next one."""
    runs: list[tuple[Run, set[Buffer]]] = []
    for instruction in instructions:
        if isinstance(instruction, Run):
            runs.append((instruction, set()))
        if isinstance(instruction, Free):
            runs[-1][1].update(instruction.reads)
    return runs


def _shared_buffers(
    program: PipelineProgram[AnnotatedProgram], lists: InstructionLists, layout: Layout
) -> set[tuple[int, Buffer]]:
    """Buffers whose memory may be seen from elsewhere."""
    donated = {argument.value for argument in program.arguments if argument.is_donated}
    shared: set[tuple[int, Buffer]] = set()
    for mesh, buffer in program.values.initial_buffers(program.schedule):
        home = program.home_meshes.get(buffer.value)
        is_copy = home is not None and not layout.devices(home) & layout.devices(mesh)
        is_given_up = buffer.value in donated and home == mesh
        if not is_copy and not is_given_up:
            shared.add((mesh, buffer))
            if home is not None:
                shared.add((home, buffer))
    for mesh, instructions in enumerate(lists.meshes):
        for instruction in instructions:
            if isinstance(instruction, Transfer) and (
                layout.devices(mesh) & layout.devices(instruction.target)
            ):
                shared.update(
                    (at, b) for b in instruction.reads for at in (mesh, instruction.target)
                )
    return shared


def _state_first(
    program: PipelineProgram[AnnotatedProgram], kind: TaskKind, positions: set[int]
) -> list[int]:
    inputs, state = program.values.signatures[kind].inputs, program.values.state
    return sorted(positions, key=lambda position: (inputs[position] not in state, position))


def _usable(program: AnnotatedProgram, dead: Sequence[int]) -> tuple[int, ...]:
    """Those for which there is a result alike, each result taken once, in this order."""
    results = Counter(
        (aval.shape, aval.dtype, spec)
        for aval, spec in zip(program.out_avals, program.out_specs, strict=True)
    )
    usable: list[int] = []
    for position in dead:
        aval = program.in_avals[position]
        key = (aval.shape, aval.dtype, program.in_specs[position])
        if results[key]:
            results[key] -= 1
            usable.append(position)
    return tuple(sorted(usable))
