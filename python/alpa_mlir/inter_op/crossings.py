"""What crosses from stage to stage: which values, how many bytes, how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alpa_mlir._native import FunctionSummary
from alpa_mlir.cluster import Cluster
from alpa_mlir.cost.transfer import send_seconds
from alpa_mlir.inter_op.layers import LayeredStep, SplitStep
from alpa_mlir.plan.data import PlannedTransfer
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.program.route import find_route
from alpa_mlir.runtime.layout import Placements
from alpa_mlir.schedule.values import Buffer


def planned_transfers(split: SplitStep) -> tuple[PlannedTransfer, ...]:
    """The values each stage sends to others: per microbatch, and in prologue and update once."""
    written = {
        result.attributes["alpa.value"]: (function, result.bytes)
        for function in split.stage_functions()
        for result in function.results
    }
    found: dict[tuple[str, int], PlannedTransfer] = {}
    for function in split.stage_functions():
        target = _stage(function)
        for argument in function.arguments:
            value = argument.attributes["alpa.value"]
            if value not in written or _stage(written[value][0]) == target:
                continue
            writer, num_bytes = written[value]
            is_once = writer.attributes["alpa.phase"] in ("prologue", "update")
            is_sum = function.attributes["alpa.phase"] == "update"
            count = 1 if is_once or is_sum else split.num_microbatches
            found[value, target] = PlannedTransfer(value, _stage(writer), target, num_bytes, count)
    return tuple(found.values())


def received_transfers(
    lowered: PipelineProgram, sent: Sequence[PlannedTransfer]
) -> tuple[PlannedTransfer, ...]:
    """Values and copies of state with the bytes that devices receive on the way.

    Args:
      sent: what `planned_transfers` says of the step.
    """
    placements, home = Placements(lowered), lowered.schedule.mesh_of_stage

    def received(value: str, source: int, target: int, count: int) -> PlannedTransfer:
        buffer = Buffer(value)
        aval = placements.aval(buffer)
        ends = (placements.of(home[stage], buffer) for stage in (source, target))
        route = find_route(aval.shape, aval.dtype, *ends)
        return PlannedTransfer(value, source, target, route.bytes, count)

    values = (received(each.value, each.source, each.target, each.count) for each in sent)
    copies = (received(*copy, count=1) for copy in _state_copies(lowered))
    return (*values, *copies)


def _state_copies(lowered: PipelineProgram) -> Iterator[tuple[str, int, int]]:
    """State that is sent to stages other than its owner in every step: value, owner, stage."""
    for argument in lowered.arguments:
        for stage in lowered.readers(argument.value):
            if argument.owner not in (None, stage):
                yield argument.value, argument.owner, stage


@dataclass(frozen=True)
class Crossings:
    """Bytes of a microbatch that pass between layer k and layer k + 1, by k, in each direction."""

    forward_bytes: tuple[int, ...]
    backward_bytes: tuple[int, ...]
    has_backward: bool

    @staticmethod
    def of(layered: LayeredStep) -> Crossings:
        """Read off the step cut at every layer."""
        split = layered.split(range(layered.num_layers))
        forward, backward = [0] * (layered.num_layers - 1), [0] * (layered.num_layers - 1)
        furthest: dict[str, PlannedTransfer] = {}
        for transfer in planned_transfers(split):
            known = furthest.get(transfer.value)
            if known is None or _distance(known) < _distance(transfer):
                furthest[transfer.value] = transfer
        for transfer in furthest.values():
            if transfer.count != layered.num_microbatches:
                continue
            through = forward if transfer.source < transfer.target else backward
            for k in range(*sorted((transfer.source, transfer.target))):
                through[k] += transfer.bytes
        phases = {function.attributes["alpa.phase"] for function in split.stage_functions()}
        return Crossings(tuple(forward), tuple(backward), "backward" in phases)


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


def _stage(function: FunctionSummary) -> int:
    return int(function.attributes["alpa.stage"])


def _distance(transfer: PlannedTransfer) -> int:
    return abs(transfer.source - transfer.target)
