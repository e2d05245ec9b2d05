"""What was planned beside what XLA made of it: collectives by kind and axes, memory by stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.fields import Checked, NumBytes, Seconds, WholeNumber
from alpa_mlir.plan.data import PlannedCollective
from alpa_mlir.xla.axes import axes_of
from alpa_mlir.xla.collectives import HloCollective

VERSION = 1
UNKNOWN_AXES = "?"


@dataclass(frozen=True)
class CollectiveTotals(Checked):
    """The collectives of a kind over the same axes of a stage's mesh, in a step.

    Attributes:
      stage: its number.
      axes: names with spaces between, or "?" for groups that lie along none.
      predicted_bytes, actual_bytes: per device. predicted_runs, actual_runs: XLA combines small
        ones, so that there are fewer.
      unmatched: the largest that only one side has, for people.
    """

    stage: WholeNumber
    kind: str
    axes: str
    predicted_bytes: NumBytes
    actual_bytes: NumBytes
    predicted_runs: WholeNumber
    actual_runs: WholeNumber
    unmatched: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageMemory(Checked):
    """Peak bytes of the device of a stage that needs most.

    Attributes:
      actual_bytes: as XLA allocates when it is compiled without options.
      plain_bytes: without the latency-hiding scheduler, which spends memory that is free; None
        where there is none (CPUs).
    """

    stage: WholeNumber
    predicted_bytes: NumBytes
    actual_bytes: NumBytes
    plain_bytes: NumBytes | None

    @property
    def needed_bytes(self) -> int:
        """What the program needs: the plain scheduler's where there is another."""
        return self.actual_bytes if self.plain_bytes is None else self.plain_bytes

    @property
    def error(self) -> float:
        """Of what was predicted, relative to what is needed."""
        return relative_error(self.predicted_bytes, self.needed_bytes)


@dataclass(frozen=True)
class Validation(Checked):
    """A plan, compiled for its devices without having them.

    Attributes:
      program_name, method, device_kind, num_devices: of the plan. compiler: what compiled it.
      is_kept_within: whether the plan is compiled so that XLA uses no more than it needs.
      num_programs: that were compiled, equal ones once. seconds: that all took.
      warnings: XLA's.
    """

    program_name: str
    method: str
    device_kind: str
    num_devices: WholeNumber
    compiler: str
    limit_bytes: NumBytes
    is_kept_within: bool
    num_programs: WholeNumber
    seconds: Seconds
    collectives: tuple[CollectiveTotals, ...]
    memory: tuple[StageMemory, ...]
    warnings: tuple[str, ...]

    @property
    def predicted_collective_bytes(self) -> int:
        return sum(each.predicted_bytes for each in self.collectives)

    @property
    def actual_collective_bytes(self) -> int:
        return sum(each.actual_bytes for each in self.collectives)

    @property
    def collective_error(self) -> float:
        """Of the predicted bytes in total, relative to the actual ones."""
        return relative_error(self.predicted_collective_bytes, self.actual_collective_bytes)

    @property
    def memory_error(self) -> float:
        """Of the stage that is farthest off."""
        return farthest_off(self.memory).error

    def to_json(self) -> dict[str, Any]:
        totals = {"collective_error": self.collective_error, "memory_error": self.memory_error}
        return {"version": VERSION, **asdict(self), **totals}


def relative_error(predicted: float, actual: float) -> float:
    """Below 0 where too little was predicted; 1 where there is nothing of what was predicted."""
    return predicted / actual - 1 if actual else float(predicted > 0)


def farthest_off(memory: Iterable[StageMemory]) -> StageMemory:
    return max(memory, key=lambda each: abs(each.error))


# --- Collectives ---

_Key = tuple[str, str]  # kind, axes
_MOST_UNMATCHED = 3
_MEGABYTE = 1e6


@dataclass(frozen=True)
class _Piece:
    """A collective of either side."""

    bytes: int
    count: float
    origin: str


def compare_collectives(
    stage: int,
    mesh: LogicalMesh,
    planned: Iterable[PlannedCollective],
    found: Iterable[HloCollective],
) -> list[CollectiveTotals]:
    """By kind and axes, the largest first."""
    ours: dict[_Key, list[_Piece]] = {}
    for each in planned:
        axes = [name for name in mesh.axis_names if name in each.axes and _is_long(name, mesh)]
        piece = _Piece(each.bytes, each.count, f"{each.op_name}: {each.reason}")
        ours.setdefault((each.kind, " ".join(axes)), []).append(piece)
    theirs: dict[_Key, list[_Piece]] = {}
    for each in found:
        axes = axes_of(each, mesh)
        name = UNKNOWN_AXES if axes is None else " ".join(axes)
        piece = _Piece(each.bytes, each.count, each.source or each.name)
        theirs.setdefault((each.kind, name), []).append(piece)
    totals = [
        _totals(stage, key, ours.get(key, []), theirs.get(key, [])) for key in {**ours, **theirs}
    ]
    return sorted(totals, key=lambda t: -max(t.predicted_bytes, t.actual_bytes))


def _is_long(axis: str, mesh: LogicalMesh) -> bool:
    return mesh.num_pieces([axis]) > 1


def _totals(
    stage: int, key: _Key, ours: Sequence[_Piece], theirs: Sequence[_Piece]
) -> CollectiveTotals:
    predicted = sum(round(piece.bytes * piece.count) for piece in ours)
    actual = sum(round(piece.bytes * piece.count) for piece in theirs)
    differs = abs(predicted - actual) > 1e-3 * max(predicted, actual)
    return CollectiveTotals(
        stage,
        *key,
        predicted_bytes=predicted,
        actual_bytes=actual,
        predicted_runs=round(sum(piece.count for piece in ours)),
        actual_runs=round(sum(piece.count for piece in theirs)),
        unmatched=tuple(_unmatched(ours, theirs)) if differs else (),
    )


def _unmatched(ours: Sequence[_Piece], theirs: Sequence[_Piece]) -> list[str]:
    """The largest without a partner of the same size on the other side.

    XLA combines collectives, and prints some of these as one array: they have no partner here.
    """
    lines: list[tuple[float, str]] = []
    for label, some, others in (("only planned", ours, theirs), ("only in HLO", theirs, ours)):
        partners: defaultdict[int, float] = defaultdict(float)
        for piece in others:
            partners[piece.bytes] += piece.count
        for piece in some:
            matched = min(piece.count, partners[piece.bytes])
            partners[piece.bytes] -= matched
            if alone := piece.count - matched:
                size = f"{piece.bytes / _MEGABYTE:.3g} MB"
                lines.append((piece.bytes * alone, f"{label}: {alone:g} x {size}, {piece.origin}"))
    lines.sort(key=lambda line: -line[0])
    return [text for _, text in lines[:_MOST_UNMATCHED]]
