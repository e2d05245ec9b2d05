"""What XLA really communicates: the collectives of an optimised HLO module, read from its text."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import get_args

from alpa_mlir.cluster.efficiency import CollectiveKind
from alpa_mlir.xla.hlo_text import (
    Computation,
    Instruction,
    dims_of,
    elements_of,
    parse_computations,
    run_counts,
    type_of,
)
from alpa_mlir.xla.replica_groups import Groups, parse_replica_groups

KINDS: tuple[str, ...] = get_args(CollectiveKind)


@dataclass(frozen=True)
class HloCollective:
    """One collective instruction.

    Attributes:
      kind: one of `KINDS`.
      operand_bytes, result_bytes: per device, summed over a combined (tuple) collective.
      groups: device groups; for a collective-permute, its (source, target) pairs.
      count: how often one step runs it (trip counts multiplied).
      name: of the instruction. source: the JAX op it comes from, or "".
    """

    kind: str
    operand_bytes: int
    result_bytes: int
    groups: Groups
    count: int
    name: str
    source: str

    @property
    def group_size(self) -> int:
        return max(len(group) for group in self.groups)

    @property
    def bytes(self) -> int:
        """The larger of operand and result: the tensor on its whole side of the collective."""
        return max(self.operand_bytes, self.result_bytes)


def parse_collectives(hlo: str) -> list[HloCollective]:
    """Collectives of optimised HLO text, in order.

    Asynchronous ones count once, those in loops once per iteration. A loop without a known trip
    count counts as one iteration; each branch of a conditional counts as taken.

    Raises:
      ValueError: the text has no ENTRY, so that nothing would be counted, or has a collective that
        is not counted here, or starts something asynchronous that is not known and may be one.
    """
    computations = parse_computations(hlo)
    _check_known(computations)
    num_devices = int(_first(r"num_partitions=(\d+)", hlo) or 1)
    counts = run_counts(computations)
    return [
        _collective(instruction, computation, count, num_devices)
        for name, computation in computations.items()
        if (count := counts.get(name, 0))
        for instruction in computation.values()
        if instruction.started in KINDS
    ]


def bytes_by_kind(collectives: Iterable[HloCollective]) -> dict[str, int]:
    """Total bytes per device and step by kind, in the order of `KINDS`, absent kinds left out."""
    totals: dict[str, int] = dict.fromkeys(KINDS, 0)
    for c in collectives:
        totals[c.kind] += c.bytes * c.count
    return {kind: total for kind, total in totals.items() if total}


# What starts and is no collective itself: the computation that `async` names may hold one.
_OTHER_STARTS = ("async", "copy", "slice")
_HOST = "is_host_transfer=true"
_NOT_COUNTED = ("collective-broadcast", "ragged-all-to-all", "send", "recv")


def _check_known(computations: Mapping[str, Computation]) -> None:
    for computation in computations.values():
        for instruction in computation.values():
            is_start = instruction.opcode.endswith("-start")
            if is_start and instruction.started not in (*KINDS, *_OTHER_STARTS):
                raise ValueError(
                    f"expected one of {', '.join(KINDS)} to start, or a copy or a computation, got "
                    f"'{instruction.opcode}' (%{instruction.name})"
                )
            if instruction.opcode in _NOT_COUNTED and _HOST not in instruction.rest:
                raise ValueError(
                    f"expected one of {', '.join(KINDS)} between devices, got "
                    f"'{instruction.opcode}' (%{instruction.name})"
                )


def _collective(
    instruction: Instruction, computation: Computation, count: int, num_devices: int
) -> HloCollective:
    rest = instruction.rest
    if pairs := _first(r"source_target_pairs=(\{(?:\{[\d,]*\},?)*\})", rest):
        groups = parse_replica_groups(pairs, num_devices)
    else:
        groups = parse_replica_groups(_first(r"replica_groups=(.*)", rest) or "{}", num_devices)
    operand_bytes = sum(_type_bytes(type_of(each, computation)) for each in instruction.operands)
    size = len(groups[0])
    # The type of an asynchronous start holds operands and results: derive the result instead.
    result_bytes = {
        "all-gather": operand_bytes * size,
        "reduce-scatter": operand_bytes // size,
    }.get(instruction.started, operand_bytes)
    return HloCollective(
        kind=instruction.started,
        operand_bytes=operand_bytes,
        result_bytes=result_bytes,
        groups=groups,
        count=count,
        name=instruction.name,
        source=_first(r'op_name="([^"]*)"', rest) or "",
    )


def _type_bytes(text: str) -> int:
    """Bytes of an HLO type; a tuple is the sum of its elements."""
    bits = sum(
        _element_bits(array.partition("[")[0]) * prod(dims_of(array)) for array in elements_of(text)
    )
    return (bits + 7) // 8


def _element_bits(element: str) -> int:
    if element == "pred":
        return 8
    if element in ("token", "opaque"):
        return 0
    digits = re.match(r"(?:bf|f|s|u|c)(\d+)", element)  # f8e4m3fn has 8 bits, c64 has 64
    if digits is None:
        raise ValueError(f"expected an HLO element type, got '{element}'")
    return int(digits[1])


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None
