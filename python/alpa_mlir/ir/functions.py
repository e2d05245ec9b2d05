"""What our passes write on functions, arguments and results, read in one place.

A value of a step has a name that is unique in it (passes/include/alpa/IR/ValueNames.h): `a3` is
argument 3 of the user's function, `r1` its result 1, `index` the number of the microbatch; others
are the passes' own.
"""

from __future__ import annotations

from dataclasses import dataclass

from alpa_mlir._native import FunctionSummary, ValueKind, ValueSummary, value_name, value_number
from alpa_mlir.ir.spec import Spec, parse_spec, replicated

INDEX = value_name(ValueKind.MICROBATCH)


@dataclass(frozen=True)
class BatchDim:
    """Element k of dim `dim` belongs to example (k // minor) % size; `size` counts the whole batch.

    As alpa::BatchDim in passes/include/alpa/Analysis/BatchDims.h.
    """

    dim: int
    size: int
    minor: int = 1


def argument_name(number: int) -> str:
    return value_name(ValueKind.ARGUMENT, number)


def result_name(number: int) -> str:
    return value_name(ValueKind.RESULT, number)


# --- Functions ---


def stage_of(function: FunctionSummary) -> int:
    return int(function.attributes["alpa.stage"])


def is_of_stage(function: FunctionSummary) -> bool:
    return "alpa.stage" in function.attributes


def phase_of(function: FunctionSummary) -> str:
    """prologue, forward, backward or update."""
    return function.attributes["alpa.phase"]


def round_of(function: FunctionSummary) -> int:
    """Of an update; 0 for others."""
    return int(function.attributes.get("alpa.round", 0))


# --- Arguments and results ---


def name_of(value: ValueSummary) -> str:
    return value.attributes["alpa.value"]


def argument_of(value: ValueSummary) -> int | None:
    """The number of the user's argument that it is, or part of; None for others."""
    return value_number(name_of(value), ValueKind.ARGUMENT)


def result_of(value: ValueSummary) -> int | None:
    """The number of the user's result that it is returned as, also where it is an argument."""
    number = value.attributes.get("alpa.result")
    return None if number is None else int(number)


def combiner_of(value: ValueSummary) -> str | None:
    """How the parts of a sum over microbatches combine; None for what is no sum."""
    return value.attributes.get("alpa.accumulate")


def batch_dim_of(value: ValueSummary) -> BatchDim | None:
    """Of an argument or result with a value per example: `array<i64: 0, 8, 1>`."""
    text = value.attributes.get("alpa.batch_dim")
    if text is None:
        return None
    dim, size, minor = (int(part) for part in text.partition(":")[2].rstrip(">").split(","))
    return BatchDim(dim, size, minor)


def is_once(value: ValueSummary) -> bool:
    """Whether it exists once in a step: state, and what the prologue makes."""
    attributes = value.attributes
    is_argument = "alpa.argument" in attributes and "alpa.batch" not in attributes
    return is_argument or "alpa.prologue" in attributes


def is_slice(value: ValueSummary) -> bool:
    """Whether it is there for every microbatch from the start: examples, and their number."""
    return "alpa.batch" in value.attributes or "alpa.microbatch" in value.attributes


def is_passed(value: ValueSummary) -> bool:
    """Whether tasks pass it on, once per microbatch."""
    return not (is_once(value) or is_slice(value))


def is_donated(value: ValueSummary) -> bool:
    return "jax.buffer_donor" in value.attributes


def spec_of_value(value: ValueSummary) -> Spec:
    """How it lies; replicated where nothing is said (constants)."""
    text = value.attributes.get("alpa.sharding")
    return parse_spec(text) if text else replicated(len(value.shape))
