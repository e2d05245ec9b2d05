"""What would become of a step on a cluster that is not as it was planned for: slow devices and
stages, slow links, lost nodes. Nothing is planned anew: the same plan runs, slower."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from alpa_mlir._native import DeviceMesh
from alpa_mlir.cluster import Cluster, Link
from alpa_mlir.cost.device_mesh import native_mesh
from alpa_mlir.errors import ArgumentError, ClusterError, PlanError
from alpa_mlir.plan.data import PlanData, PlannedCollective, PlannedPrologue, PlannedStage
from alpa_mlir.simulate.events import Simulation
from alpa_mlir.simulate.planned import simulate_plan
from alpa_mlir.units import format_range

_MOST_TIMES = 1e6  # as slow; of more, seconds would leave what floats can tell apart


@dataclass(frozen=True)
class WhatIf:
    """A step as it would be, beside the step as it was planned.

    Attributes:
      plan: with the durations and the cluster that were assumed.
    """

    plan: PlanData
    original: Simulation
    simulation: Simulation

    @property
    def step_seconds(self) -> float:
        return self.simulation.step_seconds

    @property
    def slowdown(self) -> float:
        """How many times as long as planned the step takes."""
        planned = self.original.step_seconds
        return self.step_seconds / planned if planned else 1.0

    def __str__(self) -> str:
        return (
            f"a step takes {self.step_seconds:.6g} s instead of {self.original.step_seconds:.6g} s "
            f"({self.slowdown - 1:+.1%}), bubbles {self.simulation.bubble_fraction:.1%} instead of "
            f"{self.original.bubble_fraction:.1%}"
        )


def what_if(
    plan: PlanData,
    slow: Mapping[int, float] | None = None,
    slow_stages: Mapping[int, float] | None = None,
    intra_node: float = 1.0,
    inter_node: float = 1.0,
    lost_nodes: Collection[int] = (),
) -> WhatIf:
    """See `alpa_mlir.Plan.what_if`."""
    devices, stages = slow or {}, slow_stages or {}
    _check_slow("slow", "device", devices, plan.cluster.num_devices)
    _check_slow("slow_stages", "stage", stages, len(plan.stages))
    _check_nodes(plan, lost_nodes)
    cluster = replace(
        plan.cluster,
        intra_node=_slower("intra_node", plan.cluster.intra_node, intra_node),
        inter_node=_slower("inter_node", plan.cluster.inter_node, inter_node),
    )
    factors = [
        stages.get(number, 1.0) * max(devices.get(device, 1.0) for device in stage.devices)
        for number, stage in enumerate(plan.stages)
    ]
    change = _Change(plan, cluster)
    changed = replace(
        plan,
        cluster=cluster,
        stages=tuple(map(change.stage, plan.stages, factors)),
        prologue=plan.prologue and change.prologue(plan.prologue, factors[plan.prologue.stage]),
    )
    original = simulate_plan(plan)
    simulation = original if changed == plan else simulate_plan(changed)
    changed = replace(changed, step_seconds=simulation.step_seconds)
    return WhatIf(changed, original, simulation)


@dataclass(frozen=True)
class _Change:
    """Of durations, from the plan's cluster to another. Devices compute more slowly; collectives
    take what they take on the other links, and wait for no one else."""

    before: PlanData
    cluster: Cluster

    def stage(self, stage: PlannedStage, factor: float) -> PlannedStage:
        if not self.before.is_pipeline:
            seconds = self._seconds(stage.forward_seconds, stage, stage.collectives, 1, factor)
            return replace(stage, forward_seconds=seconds)
        return replace(
            stage,
            forward_seconds=self._phase(stage.forward_seconds, stage, ("forward",), factor),
            backward_seconds=self._phase(stage.backward_seconds, stage, ("backward",), factor),
            update_seconds=self._phase(stage.update_seconds, stage, ("update", ""), factor),
        )

    def prologue(self, prologue: PlannedPrologue, factor: float) -> PlannedPrologue:
        stage = self.before.stages[prologue.stage]
        seconds = self._seconds(prologue.seconds, stage, prologue.collectives, 1, factor)
        return replace(prologue, seconds=seconds)

    def _phase(
        self, seconds: float, stage: PlannedStage, phases: tuple[str, ...], factor: float
    ) -> float:
        runs = 1 if "update" in phases else self.before.num_microbatches
        collectives = [each for each in stage.collectives if each.phase in phases]
        return self._seconds(seconds, stage, collectives, runs, factor)

    def _seconds(
        self,
        seconds: float,
        stage: PlannedStage,
        collectives: Sequence[PlannedCollective],
        runs: int,
        factor: float,
    ) -> float:
        """Of a task that ran `runs` times, in which all of the collectives ran."""
        if factor == 1.0 and self.cluster == self.before.cluster:
            return seconds
        then = native_mesh(stage.mesh, self.before.cluster)
        now = native_mesh(stage.mesh, self.cluster)
        old = sum(each.seconds for each in collectives) / runs
        new = sum(each.seconds * _ratio(each, then, now) for each in collectives) / runs
        return max(seconds - old, 0.0) * factor + new


def _ratio(collective: PlannedCollective, then: DeviceMesh, now: DeviceMesh) -> float:
    """How many times as long it takes."""
    sizes = collective.kind, list(collective.axes), collective.bytes
    before = then.collective_seconds(*sizes)
    return now.collective_seconds(*sizes) / before if before else 1.0


def _slower(argument: str, link: Link, factor: float) -> Link:
    _check_factor(argument, "how many times less the links carry", factor)
    try:
        return replace(link, bytes_per_second=link.bytes_per_second / factor)
    except ClusterError as error:
        raise ArgumentError(f"{argument}: {error}, {factor:g} times less than planned") from None


def _check_slow(argument: str, what: str, factors: Mapping[int, float], count: int) -> None:
    _check_numbers(argument, what, factors, count)
    for number, factor in factors.items():
        _check_factor(argument, f"how many times as slow {what} {number} is", factor)


def _check_numbers(argument: str, what: str, numbers: Collection[int], count: int) -> None:
    for number in numbers:
        if not 0 <= number < count:
            known = format_range(range(count))
            raise ArgumentError(f"{argument}: expected a {what} of {known}, got {number}")


def _check_factor(argument: str, meaning: str, factor: float) -> None:
    if not 0 < factor <= _MOST_TIMES:
        raise ArgumentError(
            f"{argument}: expected {meaning}, a positive number of at most {_MOST_TIMES:g}, got "
            f"{factor}"
        )


def _check_nodes(plan: PlanData, lost_nodes: Collection[int]) -> None:
    """Raises PlanError where a stage has devices on a node that is lost."""
    cluster = plan.cluster
    _check_numbers("lost_nodes", "node", lost_nodes, cluster.num_nodes)
    halted = [
        number
        for number, stage in enumerate(plan.stages)
        if any(device // cluster.devices_per_node in lost_nodes for device in stage.devices)
    ]
    if halted:
        left = cluster.num_nodes - len(set(lost_nodes))
        advice = (
            f"plan again for the {left} nodes that are left: "
            f"dataclasses.replace(plan.cluster, num_nodes={left})"
            if left
            else "no node is left"
        )
        raise PlanError(
            f"without nodes {', '.join(map(str, sorted(set(lost_nodes))))} the plan cannot run: "
            f"stages {', '.join(map(str, halted))} have devices there, and their state; {advice}"
        )
