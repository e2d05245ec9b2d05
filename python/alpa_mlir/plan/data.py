"""A plan: every decision about a program on a cluster, as data that can be read, kept and replayed.

A plan is deterministic: the same program, cluster and method give the same plan, byte for byte.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import Annotated, Any, Literal, Self, get_args

from annotated_types import Le

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.fields import Checked, Count, NumBytes, OpId, Runs, Seconds, WholeNumber
from alpa_mlir.ir.spec import Spec
from alpa_mlir.plan.versions import Versions

ScheduleName = Literal["gpipe", "1f1b", "eager_1f1b", "inference"]
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)
PhaseName = Literal["prologue", "forward", "backward", "update"]
# More than any program has: a schedule has an entry for each.
RoundNumber = Annotated[WholeNumber, Le(2**10)]


@dataclass(frozen=True)
class TensorPlan(Checked):
    """An argument or result.

    Attributes:
      role: "state", "batch", "input" or "result".
      spec: for each dim, the mesh axes that split it, major first.
      bytes_per_device: what a device keeps of it.
      reason: how the op that reads it runs, or "".
      stage: the stage whose devices keep it; None where none does.
    """

    name: str
    role: str
    dtype: str
    shape: tuple[WholeNumber, ...]
    spec: Spec
    bytes_per_device: NumBytes
    reason: str
    stage: WholeNumber | None = 0


@dataclass(frozen=True)
class Choice(Checked):
    """The strategy of one node of the sharding problem: an op, or an argument (op_id -1).

    Attributes:
      is_fixed: whether the user had fixed the sharding.
    """

    op_id: OpId
    node: str
    strategy: str
    is_fixed: bool = False


@dataclass(frozen=True)
class PlannedCollective(Checked):
    """A collective the plan expects: bytes are per device and run, seconds of all runs.

    Attributes:
      phase: of the step in which it runs; "" in one program over all devices.
    """

    kind: str
    axes: tuple[str, ...]
    bytes: NumBytes
    count: Runs
    seconds: Seconds
    op_id: OpId
    op_name: str
    reason: str
    phase: str


@dataclass(frozen=True)
class PlannedTransfer(Checked):
    """A value that goes from the mesh of one stage to that of another, `count` times in a step.

    Attributes:
      bytes: that the devices of the target receive, once; each has what it reads, so that a
        replicated value counts as often as there are devices.
    """

    value: str
    source: WholeNumber
    target: WholeNumber
    bytes: NumBytes
    count: Count


@dataclass(frozen=True)
class PlannedTask(Checked):
    """What a stage runs in one phase, whatever the microbatch.

    Attributes:
      round: of an update, which may have several.
    """

    stage: WholeNumber
    phase: PhaseName
    round: RoundNumber = 0


@dataclass(frozen=True)
class HeldValues(Checked):
    """What the devices of a stage hold of some values.

    Attributes:
      bytes_per_device: on each of them.
      received_bytes: that all of them receive from the stage that makes or owns the values, once.
    """

    stage: WholeNumber
    bytes_per_device: NumBytes
    received_bytes: NumBytes


@dataclass(frozen=True)
class PlannedValues(Checked):
    """Values of a pipelined step that are made, read and freed together.

    Attributes:
      count: how many.
      writer: what makes them; None for what is there before the step.
      readers: what reads them.
      held: on every stage that makes, reads or keeps them.
      is_per_microbatch: whether each microbatch has its own; else they exist once in a step.
      is_sum: whether tasks add to them, microbatch after microbatch.
      is_donated: of what is there before the step, whether results may take its memory.
      owner: the stage that has them before the step, where others get copies of them.
      kept_on: the stages that have them after the step.
    """

    count: Count
    writer: PlannedTask | None
    readers: tuple[PlannedTask, ...]
    held: tuple[HeldValues, ...]
    is_per_microbatch: bool
    is_sum: bool
    is_donated: bool
    owner: WholeNumber | None
    kept_on: tuple[WholeNumber, ...]


@dataclass(frozen=True)
class TemporaryBytes(Checked):
    """What a device needs within a task, beside what the task reads and writes."""

    forward: NumBytes = 0
    backward: NumBytes = 0
    update: NumBytes = 0


@dataclass(frozen=True)
class PlannedStage(Checked):
    """Layers [first_layer, end_layer) on a submesh.

    Attributes:
      submesh: nodes, and devices in each; first_device: of the cluster, where it starts.
      mesh: the logical mesh over these devices.
      choices: a strategy for every argument, op and carried value of the stage.
      collectives: predicted, all runs in a step counted.
      forward_seconds, backward_seconds: of one microbatch; update_seconds: once.
      is_rematerialized: whether its backward computes the forward of its layers again.
      num_in_flight: microbatches whose activations it holds at most.
      memory_bytes: predicted peak of one of its devices.
      temporary_bytes: of a pipeline's tasks; in one program over all devices they are none.
      cost: of a step, picoseconds; lower_bound: no other choice has a lower price in the sharding
        problem, which prices none below its cost.
    """

    first_layer: WholeNumber
    end_layer: Count
    first_device: WholeNumber
    submesh: tuple[Count, Count]
    mesh: LogicalMesh
    choices: tuple[Choice, ...]
    collectives: tuple[PlannedCollective, ...]
    forward_seconds: Seconds
    backward_seconds: Seconds
    update_seconds: Seconds
    is_rematerialized: bool
    num_in_flight: Count
    memory_bytes: NumBytes
    temporary_bytes: TemporaryBytes
    cost: WholeNumber
    lower_bound: WholeNumber

    @property
    def gap(self) -> float:
        """The part of the cost that may be unnecessary; 0 is proven optimal."""
        return (self.cost - self.lower_bound) / self.cost if self.cost > self.lower_bound else 0.0

    @property
    def layers(self) -> range:
        return range(self.first_layer, self.end_layer)

    @property
    def devices(self) -> range:
        """Numbers of its devices in the cluster."""
        return range(self.first_device, self.first_device + self.submesh[0] * self.submesh[1])


@dataclass(frozen=True)
class PlannedPrologue(Checked):
    """What is computed once from the whole batch, on the mesh of the stage that reads it first.

    Attributes:
      choices: a strategy for every argument, op and carried value of it.
      collectives, seconds: predicted, of a step.
      cost, lower_bound: as of `PlannedStage`.
    """

    stage: WholeNumber
    choices: tuple[Choice, ...]
    collectives: tuple[PlannedCollective, ...]
    seconds: Seconds
    cost: WholeNumber
    lower_bound: WholeNumber


@dataclass(frozen=True)
class Alternative(Checked):
    """Another plan that was looked at, and how long its step takes by the same prices."""

    name: str
    step_seconds: Seconds


@dataclass(frozen=True)
class PlanData(Checked):
    """How a program is to run. `alpa_mlir.Plan` is the same with what it can show of itself.

    Attributes:
      versions: of what it was made with.
      program_name, program_hash: what it was made for; the hash is of the normalised module.
      method: name of the method class that made it; strategy_space: which strategies it had.
      stages: one, or those of a pipeline.
      prologue: of a pipeline whose step has one.
      schedule: "none" for one program over all devices, else one of SCHEDULES.
      num_microbatches: in how many parts the batch goes through the pipeline.
      num_layers: in how many the program was cut before stages were made of them.
      allow_local_statistics: whether each microbatch uses its own where sums over examples flow
        back (batch norm).
      arguments, results: of the flat function, in order.
      transfers: predicted, between stages.
      values: of a pipeline, what its tasks read and write; with it a step can be simulated.
      step_seconds: predicted time of one call.
      remarks: what the passes want the user to know.
      alternatives: that were looked at and not taken, the fastest first.
    """

    versions: Versions
    program_name: str
    program_hash: str
    method: str
    strategy_space: str
    cluster: Cluster
    stages: tuple[PlannedStage, ...]
    prologue: PlannedPrologue | None
    schedule: str
    num_microbatches: Count
    num_layers: Count
    allow_local_statistics: bool
    arguments: tuple[TensorPlan, ...]
    results: tuple[TensorPlan, ...]
    transfers: tuple[PlannedTransfer, ...]
    values: tuple[PlannedValues, ...]
    step_seconds: Seconds
    remarks: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()

    @property
    def is_pipeline(self) -> bool:
        return self.schedule != "none"

    @property
    def outline(self) -> str:
        """What it is, in a few words, beside others for the same program."""
        if not self.is_pipeline:
            return f"one program on the mesh {self.mesh}"
        return pipeline_outline(len(self.stages), self.num_microbatches, self.schedule)

    def beside(self, *others: Alternative) -> Self:
        """The plan with more alternatives."""
        every = {each.name: each for each in (*self.alternatives, *others)}
        return replace(
            self, alternatives=tuple(sorted(every.values(), key=lambda each: each.step_seconds))
        )

    @property
    def as_alternative(self) -> Alternative:
        return Alternative(self.outline, self.step_seconds)

    @property
    def mesh(self) -> LogicalMesh:
        """The logical mesh of the only, or else the first stage."""
        return self.stages[0].mesh

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Of all stages."""
        return tuple(choice for stage in self.stages for choice in stage.choices)

    @property
    def collectives(self) -> tuple[PlannedCollective, ...]:
        """Of all stages, and of the prologue."""
        first = self.prologue.collectives if self.prologue else ()
        return first + tuple(each for stage in self.stages for each in stage.collectives)

    def prologue_of(self, stage: int) -> PlannedPrologue | None:
        """The prologue, where it runs on that stage."""
        return self.prologue if self.prologue and self.prologue.stage == stage else None

    def collectives_of(self, stage: int) -> tuple[PlannedCollective, ...]:
        """Of a stage, and of the prologue where it runs there."""
        prologue = self.prologue_of(stage)
        return (prologue.collectives if prologue else ()) + self.stages[stage].collectives

    def busy_seconds(self, stage: int) -> float:
        """How long the devices of a stage run its tasks in a step, the prologue's among them."""
        prologue, part = self.prologue_of(stage), self.stages[stage]
        per_microbatch = part.forward_seconds + part.backward_seconds
        once = part.update_seconds + (prologue.seconds if prologue else 0.0)
        return per_microbatch * self.num_microbatches + once

    @property
    def has_user_shardings(self) -> bool:
        """Whether it was made for arguments or values whose shardings the user had fixed."""
        return any(choice.is_fixed for choice in self.choices)

    @property
    def memory_bytes(self) -> int:
        """Predicted peak of the device that needs most."""
        return max(stage.memory_bytes for stage in self.stages)

    @property
    def solver_gap(self) -> float:
        """The largest gap of a stage; 0 is proven optimal."""
        return max(stage.gap for stage in self.stages)

    def transfer_bytes(self) -> int:
        """Predicted bytes that devices receive from other stages in a step."""
        return sum(transfer.bytes * transfer.count for transfer in self.transfers)

    def collective_bytes(self) -> dict[str, int]:
        """Predicted bytes per device and step by kind of collective."""
        totals: dict[str, int] = {}
        for c in self.collectives:
            totals[c.kind] = totals.get(c.kind, 0) + round(c.bytes * c.count)
        return totals


def pipeline_outline(num_stages: int, num_microbatches: int, schedule: str) -> str:
    """`PlanData.outline` of a pipeline, for those that are not described as plans."""
    stages = "1 stage" if num_stages == 1 else f"{num_stages} stages"
    return f"{stages}, {num_microbatches} microbatches, schedule {schedule}"


def decisions(plan: PlanData) -> dict[str, Any]:
    """The fields of `PlanData` as `asdict` gives them, without what else a plan may carry."""
    values = asdict(plan)
    return {each.name: values[each.name] for each in fields(PlanData)}


def bytes_per_device(shape: tuple[int, ...], itemsize: int, spec: Spec, mesh: LogicalMesh) -> int:
    """What one device keeps of a tensor; an uneven split is padded."""
    dims = zip(shape, spec, strict=True)
    return itemsize * prod(-(-dim // mesh.num_pieces(axes)) for dim, axes in dims)
