"""What a device of a stage holds, phase by phase, as the runtime will run it.

The sharding problem sees a stage as one program that frees activations while it makes gradients.
The runtime runs executables: what one reads, all it returns and its temporaries exist together.
Slices of the batch are there from the start of the step, state to its end, and sums beside the
parts that are added to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alpa_mlir._native import FunctionSummary, ValueSummary
from alpa_mlir.inter_op.sharded_stage import ShardedStage


@dataclass(frozen=True)
class StageMemory:
    """Bytes on one device.

    Attributes:
      resident_bytes: while forwards and backwards run, whatever is in flight.
      activation_bytes: more for each microbatch in flight.
      update_bytes: while the update runs.
    """

    resident_bytes: int
    activation_bytes: int
    update_bytes: int


def stage_memory(
    stage: ShardedStage, temporary_bytes: Mapping[str, int], num_microbatches: int
) -> StageMemory:
    """The memory of a stage whose phases have these temporaries on a device."""
    of_phase = _functions_by_phase(stage)
    forward, backward = of_phase.get("forward", []), of_phase.get("backward", [])
    left = {*_names(a for f in forward for a in f.arguments), *_results(forward)}
    kept = [a for f in backward for a in f.arguments if _is_passed(a) and _name(a) in left]
    kept_names = _names(kept)

    def passing_bytes(functions: Iterable[FunctionSummary]) -> int:
        """What is there for this task alone; activations are counted apart."""
        values = [v for f in functions for v in (*f.arguments, *f.results)]
        return stage.num_bytes(v for v in values if _is_passed(v) and _name(v) not in kept_names)

    state_bytes = stage.num_bytes(a for f in stage.functions for a in f.arguments if _is_once(a))
    slices = [a for f in (*forward, *backward) for a in f.arguments if _is_slice(a)]
    sums = [r for f in stage.functions for r in f.results if "alpa.accumulate" in r.attributes]
    sum_bytes = stage.num_bytes(sums)
    task_bytes = max(
        passing_bytes(forward) + temporary_bytes.get("forward", 0),
        passing_bytes(backward) + temporary_bytes.get("backward", 0),
    )
    # Of one microbatch the parts are the sums.
    beside_parts = sum_bytes if num_microbatches > 1 else 0
    update = (_update_bytes(stage, f, _names(sums)) for f in of_phase.get("update", []))
    return StageMemory(
        state_bytes + num_microbatches * stage.num_bytes(slices) + beside_parts + task_bytes,
        stage.num_bytes(kept),
        state_bytes + sum_bytes + max(update, default=0) + temporary_bytes.get("update", 0),
    )


def _update_bytes(stage: ShardedStage, function: FunctionSummary, sums: set[str]) -> int:
    """What comes from other stages, and new state that does not take the place of the old."""
    received = [a for a in function.arguments if not _is_once(a) and _name(a) not in sums]
    donated = [a for a in function.arguments if _is_once(a) and "jax.buffer_donor" in a.attributes]
    new_bytes = stage.num_bytes(function.results) - stage.num_bytes(donated)
    return stage.num_bytes(received) + max(0, new_bytes)


def _functions_by_phase(stage: ShardedStage) -> dict[str, list[FunctionSummary]]:
    of_phase: dict[str, list[FunctionSummary]] = {}
    for function in stage.functions:
        of_phase.setdefault(function.attributes["alpa.phase"], []).append(function)
    return of_phase


def _name(value: ValueSummary) -> str:
    return value.attributes["alpa.value"]


def _names(values: Iterable[ValueSummary]) -> set[str]:
    return {_name(value) for value in values}


def _results(functions: Iterable[FunctionSummary]) -> set[str]:
    return _names(result for function in functions for result in function.results)


def _is_once(value: ValueSummary) -> bool:
    """State, and what the prologue makes."""
    attributes = value.attributes
    is_argument = "alpa.argument" in attributes and "alpa.batch" not in attributes
    return is_argument or "alpa.prologue" in attributes


def _is_slice(value: ValueSummary) -> bool:
    return "alpa.batch" in value.attributes or "alpa.microbatch" in value.attributes


def _is_passed(value: ValueSummary) -> bool:
    """Whether tasks pass it on, once per microbatch."""
    return not (_is_once(value) or _is_slice(value))
