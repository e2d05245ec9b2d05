"""A plan on a clock: what would happen in a step, with the durations that were planned with."""

from __future__ import annotations

from collections import Counter, defaultdict

from alpa_mlir._native import ScheduleKind
from alpa_mlir.cost.transfer import LinkEnd, placed_send_seconds
from alpa_mlir.plan.data import PlanData
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.simulate.events import (
    LinkUse,
    MemoryCurve,
    Simulation,
    TransferEvent,
    TransferPiece,
)
from alpa_mlir.simulate.memory import memory_curves
from alpa_mlir.simulate.step import ClockedStep, PlannedStep, Shipment, clock_step
from alpa_mlir.simulate.timeline import StageDurations, TimedTask, Timeline, make_timeline, simulate

Pair = tuple[int, int]  # source and target


def simulate_plan(plan: PlanData) -> Simulation:
    """A step of the plan, simulated from what it says alone.

    Of one program over all devices nothing is known but how long it runs and what it needs.

    Raises:
      ScheduleError: the plan's values do not fit its schedule.
    """
    if not plan.is_pipeline:
        memory = MemoryCurve(0, (0.0,), (plan.memory_bytes,), plan.cluster.device.memory_bytes)
        return Simulation(_whole_timeline(plan), (), (memory,), ())
    clocked = clock_step(PlannedStep(plan))
    return Simulation(
        _timeline(clocked), _transfers(clocked), memory_curves(clocked), _link_uses(clocked)
    )


def planned_timeline(plan: PlanData) -> Timeline:
    """When every task of a step runs."""
    if not plan.is_pipeline:
        return _whole_timeline(plan)
    return _timeline(clock_step(PlannedStep(plan)))


def _whole_timeline(plan: PlanData) -> Timeline:
    schedule = make_schedule(ScheduleKind.INFERENCE, 1, 1)
    return simulate(schedule, [StageDurations(forward_seconds=plan.stages[0].forward_seconds)])


def _timeline(clocked: ClockedStep) -> Timeline:
    step = clocked.step
    meshes = tuple(
        tuple(TimedTask(task, *clocked.times[task], step.reduction_seconds(task)) for task in tasks)
        for tasks in step.values.working_tasks(step.schedule)
    )
    return make_timeline(step.schedule, meshes, step.schedule.peak_in_flight())


def _transfers(clocked: ClockedStep) -> tuple[TransferEvent, ...]:
    pieces: defaultdict[int, list[TransferPiece]] = defaultdict(list)
    for transfer, start, end, speed in clocked.simulated.pieces:
        pieces[transfer].append(TransferPiece(start, end, speed))
    events = [
        TransferEvent(
            source=shipment.source,
            target=shipment.target,
            microbatch=_microbatch(shipment),
            num_bytes=shipment.num_bytes,
            ready_seconds=ready,
            start_seconds=start,
            end_seconds=end,
            pieces=tuple(pieces[number]),
        )
        for number, (shipment, (ready, start, end)) in enumerate(
            zip(clocked.shipments, clocked.simulated.transfers, strict=True)
        )
    ]
    return tuple(sorted(events, key=lambda event: event.start_seconds))


def _microbatch(shipment: Shipment) -> int | None:
    task = shipment.after
    return task.microbatch if task and task.phase.runs_per_microbatch else None


def _link_uses(clocked: ClockedStep) -> tuple[LinkUse, ...]:
    num_bytes = Counter[Pair]()
    times: defaultdict[Pair, list[tuple[float, float]]] = defaultdict(list)
    for shipment in clocked.shipments:
        num_bytes[shipment.source, shipment.target] += shipment.num_bytes
    for number, start, end, _ in clocked.simulated.pieces:
        shipment = clocked.shipments[number]
        times[shipment.source, shipment.target].append((start, end))
    users: defaultdict[LinkEnd, list[Pair]] = defaultdict(list)
    for pair in times:
        for link in clocked.routes[pair].loads:
            users[link].append(pair)
    # Most links are used by the same pairs of stages as others.
    busy = {
        pairs: _covered([time for pair in pairs for time in times[pair]])
        for pairs in {tuple(pairs): None for pairs in users.values()}
    }
    cluster = clocked.step.plan.cluster
    return tuple(
        LinkUse(
            str(link),
            link.bytes_per_second(cluster),
            sum(clocked.routes[pair].loads[link] * num_bytes[pair] for pair in users[link]),
            busy[tuple(users[link])],
        )
        for link in sorted(users)
    )


def _covered(times: list[tuple[float, float]]) -> float:
    """How long at least one of them lasts."""
    total, until = 0.0, 0.0
    for start, end in sorted(times):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


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
