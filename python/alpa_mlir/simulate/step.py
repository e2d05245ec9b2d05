"""Simulates a step of a plan on its cluster, from what the plan says alone.

The instruction lists that would run the step (schedule/instructions.py) are put on a clock. A task
runs when its mesh has run those before it and what it reads has arrived. A transfer starts when
what it sends is there and earlier ones between the same two stages have ended. They share links.

What is left out: the driver; the batch, which is there when the step begins; and that collectives
within a stage share links with transfers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from alpa_mlir._native import SimulatedStep, TransferRoute
from alpa_mlir.cluster import Cluster
from alpa_mlir.cost.transfer import SendRoute, send_route
from alpa_mlir.errors import ScheduleError
from alpa_mlir.garbage import uncollected
from alpa_mlir.plan.data import HeldValues, PlanData, PlannedTask, PlannedValues
from alpa_mlir.schedule.instructions import (
    InstructionLists,
    Run,
    StartSums,
    Transfer,
    make_instructions,
)
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS, make_schedule
from alpa_mlir.schedule.schedule import Phase, Schedule, Task, TaskKind
from alpa_mlir.schedule.values import Buffer, PipelineValues, Signature
from alpa_mlir.simulate.clock import Network, Sending, Work, run_clock

_REDUCTIONS = ("all-reduce", "reduce-scatter")
_NOWHERE = SendRoute(0.0, {})


@dataclass(frozen=True, eq=False)
class PlannedStep:
    """The instructions of a step, as far as a plan of a pipeline knows them.

    Its values stand for groups of the program's (`PlannedValues`) and are named by their number.
    Stage k runs on mesh k.
    """

    plan: PlanData

    @cached_property
    def groups(self) -> dict[str, PlannedValues]:
        return {str(number): group for number, group in enumerate(self.plan.values)}

    @cached_property
    def values(self) -> PipelineValues:
        inputs: dict[TaskKind, list[str]] = {}
        outputs: dict[TaskKind, list[str]] = {}
        for name, group in self.groups.items():
            for reader in map(_kind, group.readers):
                inputs.setdefault(reader, []).append(name)
            if group.writer is not None:
                outputs.setdefault(_kind(group.writer), []).append(name)
        given = {name: group for name, group in self.groups.items() if group.writer is None}
        return PipelineValues(
            signatures={
                kind: Signature(tuple(inputs.get(kind, ())), tuple(outputs.get(kind, ())))
                for kind in {**inputs, **outputs}
            },
            state=frozenset(n for n, group in given.items() if not group.is_per_microbatch),
            batch=frozenset(n for n, group in given.items() if group.is_per_microbatch),
            accumulated=frozenset(n for n, group in self.groups.items() if group.is_sum),
            kept={n: frozenset(g.kept_on) for n, g in self.groups.items() if g.kept_on},
        )

    @cached_property
    def schedule(self) -> Schedule:
        plan = self.plan
        updates = [k.round for k in self.values.signatures if k.phase == Phase.UPDATE]
        return make_schedule(
            SCHEDULE_KINDS[plan.schedule],
            len(plan.stages),
            plan.num_microbatches,
            plan.prologue and plan.prologue.stage,
            max(updates, default=-1) + 1,
        )

    @cached_property
    def lists(self) -> InstructionLists:
        return make_instructions(self.schedule, self.values)

    @cached_property
    def _held(self) -> dict[tuple[int, str], HeldValues]:
        return {(e.stage, name): e for name, group in self.groups.items() for e in group.held}

    def bytes_per_device(self, stage: int, value: str) -> int:
        return self._held[stage, value].bytes_per_device

    def received_bytes(self, stage: int, value: str) -> int:
        """By all devices of the stage."""
        return self._held[stage, value].received_bytes

    def num_rounds(self, stage: int) -> int:
        """Of its update, those with something to do."""
        kinds = self.values.signatures
        return sum(kind.stage == stage and kind.phase == Phase.UPDATE for kind in kinds)

    def seconds(self, task: Task) -> float:
        """Rounds of an update share its time equally."""
        stage = self.plan.stages[task.stage]
        match task.phase:
            case Phase.PROLOGUE:
                return self.plan.prologue.seconds if self.plan.prologue else 0.0
            case Phase.FORWARD:
                return stage.forward_seconds
            case Phase.BACKWARD:
                return stage.backward_seconds
            case Phase.UPDATE:
                return stage.update_seconds / max(self.num_rounds(task.stage), 1)

    def reduction_seconds(self, task: Task) -> float:
        """Of the first round of an update, what it spends on sums over the stage's devices."""
        if task.phase != Phase.UPDATE or task.round > 0:
            return 0.0
        spent = sum(
            each.seconds
            for each in self.plan.stages[task.stage].collectives
            if each.phase == "update" and each.kind in _REDUCTIONS
        )
        return min(spent, self.seconds(task))


def _kind(task: PlannedTask) -> TaskKind:
    return TaskKind(task.stage, Phase[task.phase.upper()], task.round)


@dataclass(frozen=True)
class Shipment:
    """A transfer of a step.

    Attributes:
      after: the task that makes what is sent; None: it is there when the step begins.
    """

    source: int
    target: int
    buffers: tuple[Buffer, ...]
    num_bytes: int
    after: Task | None


@dataclass(frozen=True, eq=False)
class ClockedStep:
    """A step, its transfers and when all of it runs.

    Attributes:
      routes: by source and target.
    """

    step: PlannedStep
    shipments: tuple[Shipment, ...]
    routes: Mapping[tuple[int, int], SendRoute]
    times: dict[Task, tuple[float, float]]
    simulated: SimulatedStep


@uncollected()
def clock_step(step: PlannedStep) -> ClockedStep:
    """Raises ScheduleError where the plan's values do not fit its schedule."""
    try:
        return _clocked(step)
    except ScheduleError as error:
        raise ScheduleError(
            f"the values of the plan make no step: {error}; correct the plan or plan again"
        ) from None


def _clocked(step: PlannedStep) -> ClockedStep:
    shipments = (*_state_copies(step), *_sent(step))
    stages, cluster = step.plan.stages, step.plan.cluster
    pairs = dict.fromkeys((each.source, each.target) for each in shipments)
    routes = {
        (source, target): send_route(stages[source].devices, stages[target].devices, cluster)
        for source, target in pairs
    }
    lanes = {lane: number for number, lane in enumerate(dict.fromkeys(map(_lane, shipments)))}
    sendings = [
        Sending(lanes[_lane(each)], float(each.num_bytes), each.after) for each in shipments
    ]
    network = _network(
        [routes[source, target] if is_loaded else _NOWHERE for source, target, is_loaded in lanes],
        cluster,
    )
    times, simulated = run_clock(
        step.schedule.name, list(_works(step, shipments)), sendings, network
    )
    return ClockedStep(step, shipments, routes, times, simulated)


def _lane(shipment: Shipment) -> tuple[int, int, bool]:
    """Those of one lane go one after another; nothing goes beside the others, in no time."""
    return shipment.source, shipment.target, shipment.num_bytes > 0


def _network(routes: Sequence[SendRoute], cluster: Cluster) -> Network:
    ends = sorted({end for route in routes for end in route.loads})
    number = {end: k for k, end in enumerate(ends)}
    return Network(
        tuple(
            TransferRoute(
                route.latency_seconds, [(number[end], share) for end, share in route.loads.items()]
            )
            for route in routes
        ),
        tuple(end.bytes_per_second(cluster) for end in ends),
    )


def _state_copies(step: PlannedStep) -> Iterator[Shipment]:
    """State that stages read which do not own it."""
    for name, group in step.groups.items():
        if group.writer is not None or group.owner is None:
            continue
        for held in group.held:
            if held.stage != group.owner:
                yield Shipment(group.owner, held.stage, (Buffer(name),), held.received_bytes, None)


def _sent(step: PlannedStep) -> Iterator[Shipment]:
    """What the instructions transfer."""
    for mesh, instructions in enumerate(step.lists.meshes):
        after: Task | None = None
        for instruction in instructions:
            if isinstance(instruction, Run):
                after = instruction.task
            if isinstance(instruction, Transfer):
                target = instruction.target
                total = sum(step.received_bytes(target, b.value) for b in instruction.reads)
                yield Shipment(mesh, target, instruction.reads, total, after)


def _works(step: PlannedStep, shipments: Sequence[Shipment]) -> Iterator[list[Work]]:
    """By mesh; a task waits for what arrives for it, and for what its mesh makes. Where that comes
    later on the mesh, it waits for ever."""
    arriving = {
        (shipment.target, buffer): number
        for number, shipment in enumerate(shipments)
        for buffer in shipment.buffers
    }
    for mesh, instructions in enumerate(step.lists.meshes):
        runs = [instruction for instruction in instructions if isinstance(instruction, Run)]
        makers = {buffer: run.task for run in runs for buffer in run.writes}
        sums = {buffer for i in instructions if isinstance(i, StartSums) for buffer in i.writes}
        yield [
            Work(
                run.task,
                step.seconds(run.task),
                after_tasks=tuple(
                    {
                        makers[b]: None
                        for b in run.reads
                        if b in makers and not (b in sums and b in run.writes)
                    }
                ),
                after_transfers=tuple(
                    {arriving[mesh, b]: None for b in run.reads if (mesh, b) in arriving}
                ),
            )
            for run in runs
        ]
