"""Where the time of a planned step goes: every second of every device has a name.

What a device does not spend on its tasks it waits. A step without transfers tells how long it would
wait all the same, for the pipeline to fill and to drain; the rest is for transfers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from alpa_mlir.plan.data import PlanData, PlannedCollective
from alpa_mlir.simulate.planned import planned_timeline


@dataclass(frozen=True)
class TimeParts:
    """Seconds of a step on one device, which add up to `step_seconds`.

    Attributes:
      collective_seconds: by kind.
      transfer_seconds: waiting that would not be if values were sent in no time.
      bubble_seconds: other waiting.
    """

    step_seconds: float
    compute_seconds: float
    collective_seconds: Mapping[str, float]
    transfer_seconds: float
    bubble_seconds: float

    def items(self) -> Iterator[tuple[str, float]]:
        """The parts by name, as people read them."""
        yield "compute", self.compute_seconds
        yield from self.collective_seconds.items()
        yield "transfers", self.transfer_seconds
        yield "bubble", self.bubble_seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Breakdown:
    """Attributes:
    mean: of all devices of the stages, on average.
    stages: of a device of each stage.
    """

    mean: TimeParts
    stages: tuple[TimeParts, ...]


def breakdown(plan: PlanData) -> Breakdown:
    """Where the time of a step goes. Raises ScheduleError where the plan's values make no step."""
    transfers = _transfer_seconds(plan)
    stages = tuple(_stage_time(plan, number, transfers) for number in range(len(plan.stages)))
    counts = [len(stage.devices) for stage in plan.stages]

    def mean(values: Iterator[float]) -> float:
        return sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)

    kinds = sorted({kind for each in stages for kind in each.collective_seconds})
    parts = TimeParts(
        step_seconds=plan.step_seconds,
        compute_seconds=mean(each.compute_seconds for each in stages),
        collective_seconds={
            kind: mean(each.collective_seconds.get(kind, 0.0) for each in stages) for kind in kinds
        },
        transfer_seconds=mean(each.transfer_seconds for each in stages),
        bubble_seconds=mean(each.bubble_seconds for each in stages),
    )
    return Breakdown(parts, stages)


def _stage_time(plan: PlanData, number: int, transfer_seconds: float) -> TimeParts:
    busy = plan.busy_seconds(number)
    collectives = _seconds_by_kind(plan.collectives_of(number))
    waiting = max(plan.step_seconds - busy, 0.0)
    transfers = min(transfer_seconds, waiting)
    return TimeParts(
        step_seconds=plan.step_seconds,
        compute_seconds=busy - sum(collectives.values()),
        collective_seconds=dict(sorted(collectives.items())),
        transfer_seconds=transfers,
        bubble_seconds=waiting - transfers,
    )


def _seconds_by_kind(collectives: tuple[PlannedCollective, ...]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for each in collectives:
        seconds[each.kind] = seconds.get(each.kind, 0.0) + each.seconds
    return seconds


def _transfer_seconds(plan: PlanData) -> float:
    """How much shorter the step would be if values were sent in no time."""
    if not plan.is_pipeline:
        return 0.0
    values = tuple(
        replace(group, held=tuple(replace(each, received_bytes=0) for each in group.held))
        for group in plan.values
    )
    at_once = planned_timeline(replace(plan, values=values)).makespan_seconds
    return max(plan.step_seconds - at_once, 0.0)
