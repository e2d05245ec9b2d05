"""What a device of each stage holds over a step, as far as a plan says.

A plan says what each stage keeps of the state, and its peak. What is between them is held for
microbatches in flight, and is drawn as growing with their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alpa_mlir.plan.data import PlanData
from alpa_mlir.schedule.schedule import Phase
from alpa_mlir.simulate.timeline import TimedTask, Timeline


@dataclass(frozen=True)
class MemoryCurve:
    """Of one device of a stage: `num_bytes[k]` from `seconds[k]` to `seconds[k + 1]`.

    Attributes:
      state_bytes: of parameters, optimizer state and other arguments that it keeps.
    """

    seconds: tuple[float, ...]
    num_bytes: tuple[int, ...]
    state_bytes: int


def memory_curves(plan: PlanData, timeline: Timeline | None) -> tuple[MemoryCurve, ...]:
    """One for each stage; without a timeline a step is one piece, at its peak."""
    curves: list[MemoryCurve] = []
    for number, stage in enumerate(plan.stages):
        kept = sum(each.bytes_per_device for each in plan.arguments if each.stage == number)
        kept = min(kept, stage.memory_bytes)
        if timeline is None:
            curves.append(MemoryCurve((0.0, plan.step_seconds), (stage.memory_bytes,) * 2, kept))
            continue
        tasks = timeline.meshes[number]
        held = list(_in_flight(tasks, timeline.schedule.has_backward))
        most = max((count for _, count in held), default=0) or 1
        share = (stage.memory_bytes - kept) / most
        times = (0.0, *(time for time, _ in held), timeline.makespan_seconds)
        counts = (0, *(count for _, count in held), 0)
        curves.append(
            MemoryCurve(times, tuple(kept + round(share * count) for count in counts), kept)
        )
    return tuple(curves)


def _in_flight(tasks: tuple[TimedTask, ...], has_backward: bool) -> Iterator[tuple[float, int]]:
    """When the number of microbatches that the stage holds activations of changes, and to what."""
    count = 0
    for timed in tasks:
        if timed.task.phase == Phase.FORWARD:
            count += 1
            yield timed.start_seconds, count
        if timed.task.phase == (Phase.BACKWARD if has_backward else Phase.FORWARD):
            count -= 1
            yield timed.end_seconds, count
