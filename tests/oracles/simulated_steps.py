"""Judges simulated steps, knowing nothing of how they were simulated.

Causes come before effects and nothing waits without one; links carry no more than they can, and are
shared fairly; memory is that of the buffers which `schedule.interpret` says are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from math import isclose

from alpa_mlir.plan.data import PlanData, PlannedTask
from alpa_mlir.schedule.instructions import Free, Instruction, Run, StartSums, Transfer
from alpa_mlir.schedule.interpret import live_buffers, verify_instructions
from alpa_mlir.schedule.schedule import Phase, Task
from alpa_mlir.schedule.values import Buffer
from alpa_mlir.simulate.events import Simulation, TransferEvent
from alpa_mlir.simulate.step import PlannedStep
from alpa_mlir.simulate.timeline import TimedTask

_CLOSE = 1e-9
Link = tuple[str, int, str]


def check_simulation(plan: PlanData, simulation: Simulation) -> None:
    """Raises AssertionError for the first thing that cannot be."""
    check_tasks(plan, simulation)
    check_transfers(plan, simulation)
    check_links(plan, simulation)
    check_memory(plan, simulation)


# --- Tasks ---


def check_tasks(plan: PlanData, simulation: Simulation) -> None:
    """Each starts at once when the one before it on its mesh has ended and its inputs are there."""
    ends = {timed.task: timed.end_seconds for timed in simulation.timeline.tasks()}
    arrivals = {
        (each.source, each.target, each.ready_seconds): each.end_seconds
        for each in simulation.transfers
    }
    for tasks in simulation.timeline.meshes:
        free_at = 0.0
        for timed in tasks:
            causes = list(_causes(plan, timed.task, ends, arrivals))
            assert timed.start_seconds == max([free_at, *causes]), (timed, causes)
            assert isclose(timed.end_seconds - timed.start_seconds, _seconds(plan, timed.task))
            free_at = timed.end_seconds
    _check_every_task(plan, ends)


def _check_every_task(plan: PlanData, ends: dict[Task, float]) -> None:
    expected: set[Task] = set()
    for values in plan.values:
        for kind in (*values.readers, *((values.writer,) if values.writer else ())):
            expected.update(_tasks(plan, kind))
    assert set(ends) == expected


def _tasks(plan: PlanData, kind: PlannedTask) -> Iterator[Task]:
    phase = Phase[kind.phase.upper()]
    for microbatch in range(plan.num_microbatches if phase.runs_per_microbatch else 1):
        yield Task(kind.stage, phase, microbatch, kind.round)


def _causes(
    plan: PlanData,
    task: Task,
    ends: dict[Task, float],
    arrivals: dict[tuple[int, int, float], float],
) -> Iterator[float]:
    kind = PlannedTask(task.stage, task.phase.name.lower(), task.round)  # pyright: ignore
    for values in plan.values:
        if kind not in values.readers or kind == values.writer:
            continue
        microbatch = task.microbatch if values.is_per_microbatch else None
        if values.writer is None:
            if values.owner not in (None, task.stage):
                yield arrivals[values.owner, task.stage, 0.0]
            continue
        writers = [
            each
            for each in _tasks(plan, values.writer)
            if microbatch is None or each.microbatch == microbatch
        ]
        made = max(ends[each] for each in writers)
        if values.writer.stage == task.stage:
            yield made
            continue
        yield arrivals[values.writer.stage, task.stage, made]


def _seconds(plan: PlanData, task: Task) -> float:
    stage = plan.stages[task.stage]
    match task.phase:
        case Phase.PROLOGUE:
            assert plan.prologue
            return plan.prologue.seconds
        case Phase.FORWARD:
            return stage.forward_seconds
        case Phase.BACKWARD:
            return stage.backward_seconds
        case Phase.UPDATE:
            tasks = (t for v in plan.values for t in (*v.readers, v.writer) if t is not None)
            rounds = {t.round for t in tasks if (t.stage, t.phase) == (task.stage, "update")}
            return stage.update_seconds / len(rounds)


# --- Transfers and links ---


def _shares(plan: PlanData, transfer: TransferEvent) -> dict[Link, float]:
    """The part of the bytes on each link: equal shares from senders to receivers in order."""
    source, target = (plan.stages[k].devices for k in (transfer.source, transfer.target))
    count = min(len(source), len(target))
    shares: defaultdict[Link, float] = defaultdict(float)
    for number in range(count):
        sender = source[number * len(source) // count]
        receiver = target[number * len(target) // count]
        shares["device", sender, "out"] += 1 / count
        shares["device", receiver, "in"] += 1 / count
        nodes = [device // plan.cluster.devices_per_node for device in (sender, receiver)]
        if nodes[0] != nodes[1]:
            shares["node", nodes[0], "out"] += 1 / count
            shares["node", nodes[1], "in"] += 1 / count
    return shares


def _rate(plan: PlanData, link: Link) -> float:
    kind = plan.cluster.intra_node if link[0] == "device" else plan.cluster.inter_node
    return kind.bytes_per_second


def _alone(plan: PlanData, transfer: TransferEvent) -> float:
    """Seconds in which data flows with nothing else on the links."""
    shares = _shares(plan, transfer).items()
    return transfer.num_bytes * max(share / _rate(plan, link) for link, share in shares)


def check_transfers(plan: PlanData, simulation: Simulation) -> None:
    """One after another on each route, latency first, then all of the bytes."""
    by_route: defaultdict[tuple[int, int], list[TransferEvent]] = defaultdict(list)
    for transfer in simulation.transfers:
        if transfer.num_bytes:
            by_route[transfer.source, transfer.target].append(transfer)
        else:
            assert transfer.ready_seconds == transfer.start_seconds == transfer.end_seconds
    for transfers in by_route.values():
        free_at = 0.0
        for transfer in transfers:
            assert transfer.start_seconds == max(free_at, transfer.ready_seconds)
            free_at = transfer.end_seconds
            _check_pieces(plan, transfer)


def _check_pieces(plan: PlanData, transfer: TransferEvent) -> None:
    crosses = any(link[0] == "node" for link in _shares(plan, transfer))
    latency = (plan.cluster.inter_node if crosses else plan.cluster.intra_node).latency_seconds
    assert transfer.pieces[0].start_seconds == transfer.start_seconds + latency
    assert transfer.pieces[-1].end_seconds == transfer.end_seconds
    for before, after in pairwise(transfer.pieces):
        assert before.end_seconds == after.start_seconds
    assert all(0 < piece.speed <= 1 for piece in transfer.pieces)
    moved = sum(p.speed * (p.end_seconds - p.start_seconds) for p in transfer.pieces)
    assert isclose(moved, _alone(plan, transfer), rel_tol=_CLOSE, abs_tol=_CLOSE)


def check_links(plan: PlanData, simulation: Simulation) -> None:
    """At every time, no link carries more than it can; who is slowed down crosses a full link on
    which nobody is faster."""
    pieces = [(piece, each) for each in simulation.transfers for piece in each.pieces]
    times = sorted({t for p, _ in pieces for t in (p.start_seconds, p.end_seconds)})
    for begin, end in pairwise(times):
        middle = (begin + end) / 2
        active = [(p.speed, t) for p, t in pieces if p.start_seconds < middle < p.end_seconds]
        used: defaultdict[Link, float] = defaultdict(float)
        fastest: defaultdict[Link, float] = defaultdict(float)
        for speed, transfer in active:
            per_second = speed * transfer.num_bytes / _alone(plan, transfer)
            for link, share in _shares(plan, transfer).items():
                used[link] += per_second * share / _rate(plan, link)
                fastest[link] = max(fastest[link], speed)
        assert all(part <= 1 + _CLOSE for part in used.values()), used
        for speed, transfer in active:
            assert speed == 1 or any(
                used[link] >= 1 - _CLOSE and fastest[link] <= speed * (1 + _CLOSE)
                for link in _shares(plan, transfer)
            ), (begin, speed, transfer)


# --- Memory ---


def check_memory(plan: PlanData, simulation: Simulation) -> None:
    """At every time in which something changes, what the interpreter's buffers need."""
    step = PlannedStep(plan)
    verify_instructions(step.lists, step.schedule, step.values)
    issues = sorted(_issues(step, simulation), key=lambda issue: issue[:2])
    order = [(mesh, instruction) for _, _, mesh, instruction in issues]
    stores = list(live_buffers(step.lists, step.schedule, step.values, order))
    times = [0.0, *(seconds for seconds, *_ in issues)]
    timed = {each.task: each for each in simulation.timeline.tasks()}
    reuses = {run.task: run for each in step.lists.meshes for run in each if isinstance(run, Run)}
    for number, seconds in enumerate(times):
        if number + 1 < len(times) and times[number + 1] == seconds:
            continue
        for mesh, curve in enumerate(simulation.memory):
            running = [
                timed[t]
                for t in reuses
                if t.stage == mesh and timed[t].start_seconds <= seconds < timed[t].end_seconds
            ]
            kept = _of_user(step, mesh, stores[number][mesh])
            expected = _bytes(step, mesh, stores[number][mesh] | kept)
            expected += sum(_extra(step, run, reuses[run.task]) for run in running)
            assert curve.at(seconds) == expected, (seconds, mesh, curve.at(seconds), expected)


def _bytes(step: PlannedStep, mesh: int, buffers: frozenset[Buffer]) -> int:
    return sum(
        held.bytes_per_device
        for buffer in buffers
        for held in step.plan.values[int(buffer.value)].held
        if held.stage == mesh
    )


def _of_user(step: PlannedStep, mesh: int, live: frozenset[Buffer]) -> frozenset[Buffer]:
    """State that the user keeps is there for ever."""
    kept = {
        Buffer(str(number))
        for number, values in enumerate(step.plan.values)
        if values.owner == mesh and values.writer is None and not values.is_donated
    }
    return frozenset(kept - live)


def _extra(step: PlannedStep, timed: TimedTask, run: Run) -> int:
    """Temporaries, less what results take the place of."""
    task = timed.task
    if task.phase == Phase.PROLOGUE:
        return 0
    temporary = getattr(step.plan.stages[task.stage].temporary_bytes, task.phase.name.lower())
    if task.phase != Phase.UPDATE:
        return temporary
    later = [
        instruction
        for instruction in step.lists.meshes[task.stage]
        if isinstance(instruction, Run) and instruction.task.round > task.round
    ]
    given = {
        buffer
        for buffer in run.reads
        if (values := step.plan.values[int(buffer.value)]).is_donated
        and values.owner == task.stage
        and all(buffer not in other.reads for other in later)
    }
    made = _bytes(step, task.stage, frozenset(run.writes))
    return temporary - min(made, _bytes(step, task.stage, frozenset(given)))


def _issues(
    step: PlannedStep, simulation: Simulation
) -> Iterator[tuple[float, int, int, Instruction]]:
    """Time, a number that orders what happens at once, mesh and instruction: frees last."""
    timed = {each.task: each for each in simulation.timeline.tasks()}
    unmatched = list(simulation.transfers)
    for mesh, instructions in enumerate(step.lists.meshes):
        pending: list[StartSums] = []
        last: TimedTask | None = None
        sent_until: dict[Buffer, float] = {}
        for instruction in instructions:
            match instruction:
                case StartSums():
                    pending.append(instruction)
                case Run():
                    last = timed[instruction.task]
                    for sums in pending:
                        yield last.start_seconds, 0, mesh, sums
                    pending.clear()
                    yield last.start_seconds, 2, mesh, instruction
                case Transfer():
                    assert last
                    event = _matching(mesh, instruction, last, unmatched)
                    for buffer in instruction.reads:
                        sent_until[buffer] = max(sent_until.get(buffer, 0.0), event.end_seconds)
                    yield event.start_seconds, 1, mesh, instruction
                case Free():
                    end = last.end_seconds if last else 0.0
                    for buffer in instruction.reads:
                        copied = _copied_until(step, mesh, buffer, simulation)
                        until = max(end, sent_until.get(buffer, 0.0), copied)
                        yield until, 3, mesh, Free((buffer,))


def _matching(
    mesh: int, instruction: Transfer, last: TimedTask, unmatched: list[TransferEvent]
) -> TransferEvent:
    """The event that is this transfer, which is taken out of those not found yet."""
    for number, event in enumerate(unmatched):
        key = (event.source, event.target, event.ready_seconds)
        if key == (mesh, instruction.target, last.end_seconds):
            return unmatched.pop(number)
    raise AssertionError(f"no event for {instruction} of mesh {mesh}")


def _copied_until(step: PlannedStep, mesh: int, buffer: Buffer, simulation: Simulation) -> float:
    """When the last copy of a state has arrived where others read it."""
    values = step.plan.values[int(buffer.value)]
    if values.writer is not None or values.owner != mesh:
        return 0.0
    targets = {held.stage for held in values.held} - {mesh}
    return max(
        (
            each.end_seconds
            for each in simulation.transfers
            if each.source == mesh and each.target in targets and each.ready_seconds == 0.0
        ),
        default=0.0,
    )
