"""Stacked state in rows: a step that `lax.scan`s over its layers, as if each had its own arrays.

What the passes alpa-split-stacks and alpa-separate-rows leave is a step like any other, whose
arguments are rows of what the user passes (docs/decisions/2026-11-28-stacked-state.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alpa_mlir._native import FunctionSummary, ValueSummary
from alpa_mlir.frontend.saved import argument_of, flat_program
from alpa_mlir.frontend.stacks import Part, Stacks
from alpa_mlir.frontend.trace import Result, TracedProgram
from alpa_mlir.inter_op.layers import unroll_layers
from alpa_mlir.intra_op.shard import NormalizedModule, normalize_module
from alpa_mlir.ir.passes import run_passes

_ROWS = "alpa.rows"


@dataclass(frozen=True, eq=False)
class StepInRows:
    """A traced step whose stacked state is in rows.

    Attributes:
      program: flat; its `stacks` have the user's side.
      normal: its module, with the layers of its loops beside one another.
    """

    program: TracedProgram
    normal: NormalizedModule


def step_in_rows(program: TracedProgram, normal: NormalizedModule) -> StepInRows | None:
    """None where no state is read and renewed row by row, or the user has sharded some.

    Raises:
      PassError: the module is none that the passes know.
    """
    if program.mesh is not None or not normal.module.has_loops():
        return None
    unrolled = unroll_layers(normal)
    module = unrolled.module.clone()
    run_passes(module, "alpa-split-stacks")
    module = normalize_module(module).module
    run_passes(module, "alpa-separate-rows")
    main = module.functions()[0]
    if not any(_ROWS in argument.attributes for argument in main.arguments):
        return None
    flat = _program(program, main, module.text(with_locations=True))
    return StepInRows(flat, replace(normalize_module(module), remarks=unrolled.remarks))


def _program(program: TracedProgram, main: FunctionSummary, text: str) -> TracedProgram:
    arguments, results = _parts(main.arguments), _parts(main.results)
    wholes = [program.arguments[part.number] for part in arguments]
    flat = flat_program(
        program.name,
        text,
        tuple(
            argument_of(part.name(whole.name), part.aval(whole.aval), value.attributes)
            for part, whole, value in zip(arguments, wholes, main.arguments, strict=True)
        ),
        tuple(
            Result(part.name(whole.name), part.aval(whole.aval))
            for part, whole in ((part, program.results[part.number]) for part in results)
        ),
    )
    avals = tuple(argument.aval for argument in program.arguments)
    return replace(
        flat,
        host_callbacks=program.host_callbacks,
        remarks=program.remarks,
        stacks=Stacks(program.in_tree, program.out_tree, arguments, results, avals),
    )


def _parts(values: Sequence[ValueSummary]) -> tuple[Part, ...]:
    """What is whole keeps its order, between the rows of others."""
    parts: list[Part] = []
    for value in values:
        rows = value.attributes.get(_ROWS)
        whole = Part(parts[-1].number + 1 if parts else 0)
        parts.append(Part(*_numbers(rows)) if rows else whole)
    return tuple(parts)


def _numbers(text: str) -> list[int]:
    """Of `array<i64: 0, 0, 1, 2>`."""
    return [int(each) for each in text.partition(":")[2].rstrip(">").split(",")]
