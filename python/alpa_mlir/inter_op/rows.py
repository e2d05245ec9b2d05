"""Stacked state in rows: a step that `lax.scan`s over its layers, as if each had its own arrays.

What the passes alpa-split-stacks and alpa-separate-rows leave is a step like any other, whose
arguments are rows of what the user passes (docs/decisions/2026-11-28-stacked-state.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax

from alpa_mlir._native import Module
from alpa_mlir.frontend.stacks import Part, Stacks
from alpa_mlir.frontend.trace import Argument, Result, TracedProgram
from alpa_mlir.inter_op.layers import unroll_layers
from alpa_mlir.intra_op.shard import NormalizedModule, normalize
from alpa_mlir.ir.passes import run_passes

_ROWS = "alpa.rows"
_STATE = "alpa.state"
_GRADIENT = "alpa.gradient"


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
    if program.mesh is not None or not Module.parse(normal.text).has_loops():
        return None
    unrolled = unroll_layers(normal)
    module = Module.parse(unrolled.text)
    run_passes(module, "alpa-split-stacks", "alpa-normalize")
    module = Module.parse(normalize(module.text(with_locations=True)).text)
    run_passes(module, "alpa-separate-rows")
    main = module.functions()[0]
    arguments = _parts([each.attributes for each in main.arguments])
    results = _parts([each.attributes for each in main.results])
    if all(part.dim is None for part in arguments):
        return None
    text = module.text(with_locations=True)
    marks = [each.attributes for each in main.arguments]
    return StepInRows(
        replace(_program(program, arguments, results, marks), text=text),
        replace(normalize(text), remarks=unrolled.remarks),
    )


def _parts(attributes: Sequence[Mapping[str, str]]) -> tuple[Part, ...]:
    """What is whole keeps its order, between the rows of others."""
    parts: list[Part] = []
    for each in attributes:
        rows = each.get(_ROWS)
        whole = Part(parts[-1].number + 1 if parts else 0)
        parts.append(Part(*_numbers(rows)) if rows else whole)
    return tuple(parts)


def _program(
    program: TracedProgram,
    arguments: Sequence[Part],
    results: Sequence[Part],
    marks: Sequence[Mapping[str, str]],
) -> TracedProgram:
    def argument(part: Part, mark: Mapping[str, str]) -> Argument:
        whole = program.arguments[part.number]
        return replace(
            whole,
            name=part.name(whole.name),
            aval=part.aval(whole.aval),
            state_result=_number(mark, _STATE),
            gradient_result=_number(mark, _GRADIENT),
        )

    def result(part: Part) -> Result:
        whole = program.results[part.number]
        return Result(part.name(whole.name), part.aval(whole.aval))

    return replace(
        program,
        arguments=tuple(map(argument, arguments, marks)),
        results=tuple(map(result, results)),
        in_tree=jax.tree.structure((0,) * len(arguments)),
        out_tree=jax.tree.structure((0,) * len(results)),
        stacks=Stacks(
            program.in_tree,
            program.out_tree,
            tuple(arguments),
            tuple(results),
            tuple(argument.aval for argument in program.arguments),
        ),
    )


def _number(marks: Mapping[str, str], name: str) -> int | None:
    return _numbers(marks[name])[0] if name in marks else None


def _numbers(text: str) -> list[int]:
    """Of an attribute as text: `3 : i64`, `array<i64: 0, 0, 1, 2>`."""
    return [int(each) for each in re.findall(r"-?\d+", re.sub(r"\bi\d+\b", "", text))]
