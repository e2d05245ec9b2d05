"""What a device of a stage holds, phase by phase, as the runtime will run it.

The sharding problem sees a stage as one program that frees activations while it makes gradients.
The runtime runs executables: what one reads, all it returns and its temporaries exist together.
Slices of the batch are there from the start of the step, state to its end; tasks add to sums over
microbatches in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alpa_mlir._native import FunctionSummary, ValueSummary
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.ir.functions import (
    combiner_of,
    is_donated,
    is_once,
    is_passed,
    is_slice,
    name_of,
    phase_of,
    spec_of_value,
)
from alpa_mlir.ir.spec import Spec


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
    functions: Sequence[FunctionSummary],
    mesh: LogicalMesh,
    temporary_bytes: Mapping[str, int],
    num_microbatches: int,
) -> StageMemory:
    """The memory of a stage.

    Args:
      functions: its phases, whose arguments and results say how they lie on `mesh`.
      temporary_bytes: by phase, what lives within it on a device.
    """
    of_phase: dict[str, list[FunctionSummary]] = {}
    for function in functions:
        of_phase.setdefault(phase_of(function), []).append(function)
    forward, backward = of_phase.get("forward", []), of_phase.get("backward", [])
    left = {*_names(a for f in forward for a in f.arguments), *_results(forward)}
    kept = [a for f in backward for a in f.arguments if is_passed(a) and name_of(a) in left]
    kept_names = _names(kept)

    def passing_bytes(functions: Iterable[FunctionSummary]) -> int:
        """What is there for this task alone; activations are counted apart."""
        values = [v for f in functions for v in (*f.arguments, *f.results)]
        passing = (
            v
            for v in values
            if is_passed(v) and not combiner_of(v) and name_of(v) not in kept_names
        )
        return _num_bytes(passing, mesh)

    state_bytes = _num_bytes((a for f in functions for a in f.arguments if is_once(a)), mesh)
    slices = [a for f in (*forward, *backward) for a in f.arguments if is_slice(a)]
    sums = [r for f in functions for r in f.results if combiner_of(r)]
    sum_bytes = _num_bytes(sums, mesh)
    task_bytes = max(
        passing_bytes(forward) + temporary_bytes.get("forward", 0),
        passing_bytes(backward) + temporary_bytes.get("backward", 0),
    )
    sum_specs = {name_of(value): spec_of_value(value) for value in sums}
    update = (_update_bytes(f, sum_specs, mesh) for f in of_phase.get("update", []))
    return StageMemory(
        state_bytes + num_microbatches * _num_bytes(slices, mesh) + sum_bytes + task_bytes,
        _num_bytes(kept, mesh),
        state_bytes + sum_bytes + max(update, default=0) + temporary_bytes.get("update", 0),
    )


def _update_bytes(function: FunctionSummary, sums: Mapping[str, Spec], mesh: LogicalMesh) -> int:
    """What comes from other stages, sums that are scattered as they are reduced (others are reduced
    in place), and new state that does not take the place of the old."""

    def is_in_place(argument: ValueSummary) -> bool:
        left = sums.get(name_of(argument))
        return left is not None and tuple(left) == tuple(spec_of_value(argument))

    received = [a for a in function.arguments if not is_once(a) and not is_in_place(a)]
    donated = [a for a in function.arguments if is_once(a) and is_donated(a)]
    new_bytes = _num_bytes(function.results, mesh) - _num_bytes(donated, mesh)
    return _num_bytes(received, mesh) + max(0, new_bytes)


def _num_bytes(values: Iterable[ValueSummary], mesh: LogicalMesh) -> int:
    """On a device, of values each counted once however often it comes."""
    named = {name_of(value): value for value in values}
    return sum(_bytes_per_device(value, mesh) for value in named.values())


def _bytes_per_device(value: ValueSummary, mesh: LogicalMesh) -> int:
    axes = [axis for axes in spec_of_value(value) for axis in axes]
    return value.bytes // mesh.num_pieces(axes)


def _names(values: Iterable[ValueSummary]) -> set[str]:
    return {name_of(value) for value in values}


def _results(functions: Iterable[FunctionSummary]) -> set[str]:
    return _names(result for function in functions for result in function.results)
