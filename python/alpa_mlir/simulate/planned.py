"""A plan on a clock: when every task would run, with the durations that were planned with."""

from __future__ import annotations

from alpa_mlir.cost.transfer import placed_send_seconds
from alpa_mlir.plan.data import PlanData
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS, make_schedule
from alpa_mlir.schedule.schedule import Schedule
from alpa_mlir.simulate.timeline import StageDurations, Timeline, simulate


def planned_timeline(plan: PlanData, schedule: Schedule | None = None) -> Timeline:
    """The timeline of one step; without `schedule` the update counts as one round."""
    if schedule is None:
        kind, first = SCHEDULE_KINDS[plan.schedule], plan.prologue and plan.prologue.stage
        schedule = make_schedule(kind, len(plan.stages), plan.num_microbatches, first)
    prologue_seconds = plan.prologue.seconds if plan.prologue else 0.0
    return simulate(schedule, planned_durations(plan), prologue_seconds)


def planned_durations(plan: PlanData) -> list[StageDurations]:
    return [
        StageDurations(
            forward_seconds=stage.forward_seconds,
            backward_seconds=stage.backward_seconds,
            update_seconds=stage.update_seconds,
            send_forward_seconds=_sent(plan, number, number + 1),
            send_backward_seconds=_sent(plan, number, number - 1),
        )
        for number, stage in enumerate(plan.stages)
    ]


def _sent(plan: PlanData, source: int, target: int) -> float:
    """Seconds of one microbatch's transfer between neighbours."""
    if not 0 <= target < len(plan.stages):
        return 0.0
    num_bytes = sum(
        transfer.bytes
        for transfer in plan.transfers
        if (transfer.source, transfer.target) == (source, target)
        and transfer.count == plan.num_microbatches
    )
    sender, receiver = plan.stages[source], plan.stages[target]
    return placed_send_seconds(num_bytes, sender.devices, receiver.devices, plan.cluster)
