"""What crosses from stage to stage: which values, how many bytes, how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alpa_mlir.cluster import Cluster
from alpa_mlir.cost.transfer import send_seconds
from alpa_mlir.inter_op.layers import SplitStep
from alpa_mlir.inter_op.outline import Outline
from alpa_mlir.ir.functions import name_of, phase_of, stage_of
from alpa_mlir.plan.data import PlannedTransfer
from alpa_mlir.program.placements import Placements
from alpa_mlir.program.route import find_route
from alpa_mlir.schedule.values import Buffer


def planned_transfers(split: SplitStep) -> tuple[PlannedTransfer, ...]:
    """The values each stage sends to others: per microbatch, and in prologue and update once."""
    written = {
        name_of(result): (function, result.bytes)
        for function in split.stage_functions()
        for result in function.results
    }
    found: dict[tuple[str, int], PlannedTransfer] = {}
    for function in split.stage_functions():
        target = stage_of(function)
        for argument in function.arguments:
            value = name_of(argument)
            if value not in written or stage_of(written[value][0]) == target:
                continue
            writer, num_bytes = written[value]
            is_once = phase_of(writer) in ("prologue", "update")
            is_sum = phase_of(function) == "update"
            count = 1 if is_once or is_sum else split.num_microbatches
            found[value, target] = PlannedTransfer(
                value, stage_of(writer), target, num_bytes, count
            )
    return tuple(found.values())


def received_transfers(
    outline: Outline, sent: Sequence[PlannedTransfer]
) -> tuple[PlannedTransfer, ...]:
    """Values and copies of state with the bytes that devices receive on the way.

    Args:
      sent: what `planned_transfers` says of the step.
    """
    placements, home = Placements(outline), outline.schedule.mesh_of_stage

    def received(value: str, source: int, target: int, count: int) -> PlannedTransfer:
        buffer = Buffer(value)
        aval = placements.aval(buffer)
        ends = (placements.of(home[stage], buffer).reduced for stage in (source, target))
        route = find_route(aval.shape, aval.dtype, *ends)
        return PlannedTransfer(value, source, target, route.bytes, count)

    values = (received(each.value, each.source, each.target, each.count) for each in sent)
    copies = (received(*copy, count=1) for copy in _state_copies(outline))
    return (*values, *copies)


def _state_copies(outline: Outline) -> Iterator[tuple[str, int, int]]:
    """State that is sent to stages other than its owner in every step: value, owner, stage."""
    for argument in outline.arguments:
        for stage in outline.reading_stages(argument.value):
            if argument.owner not in (None, stage):
                yield argument.value, argument.owner, stage


@dataclass(frozen=True)
class Crossings:
    """Bytes of a microbatch that pass between layer k and layer k + 1, by k, in each direction."""

    forward_bytes: tuple[int, ...]
    backward_bytes: tuple[int, ...]
    has_backward: bool

    @staticmethod
    def of(split: SplitStep) -> Crossings:
        """Read off the step cut at every layer."""
        forward, backward = [0] * (split.num_stages - 1), [0] * (split.num_stages - 1)
        furthest: dict[str, PlannedTransfer] = {}
        for transfer in planned_transfers(split):
            known = furthest.get(transfer.value)
            if known is None or _distance(known) < _distance(transfer):
                furthest[transfer.value] = transfer
        for transfer in furthest.values():
            if transfer.count != split.num_microbatches:
                continue
            through = forward if transfer.source < transfer.target else backward
            for k in range(*sorted((transfer.source, transfer.target))):
                through[k] += transfer.bytes
        return Crossings(tuple(forward), tuple(backward), split.has_backward)


def transfer_seconds(
    crossings: Crossings, submeshes: Sequence[tuple[int, int]], cluster: Cluster
) -> list[float]:
    """`StageProblem.transfer_seconds`: by [end layer - 1][submesh][submesh of the next stage]."""
    return [
        send_seconds(forward, source, target, cluster)
        + send_seconds(backward, target, source, cluster)
        for forward, backward in zip(crossings.forward_bytes, crossings.backward_bytes, strict=True)
        for source in submeshes
        for target in submeshes
    ]


def _distance(transfer: PlannedTransfer) -> int:
    return abs(transfer.source - transfer.target)
