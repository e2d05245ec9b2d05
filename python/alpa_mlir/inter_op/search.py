"""Finds stages, submeshes, shardings, microbatches and schedule together (Alpa, section 5).

Each number of microbatches makes a step of its own: cut into layers, every range of layers costed
on every submesh and logical mesh (`cost_table`), then the stage DP over all of them (`stages`).
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from alpa_mlir._native import (
    ScheduleKind,
    StageCandidate,
    StageProblem,
    Submesh,
    max_in_flight,
)
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.errors import ArgumentError, InfeasibleError, PassError
from alpa_mlir.inter_op.cost_table import CostTable, default_cache_dir
from alpa_mlir.inter_op.layered_step import LayeredStep
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.inter_op.stage_cost import StageCost, StageQuestion
from alpa_mlir.inter_op.stages import StagePlan, solve_stages
from alpa_mlir.inter_op.transfers import Crossings, transfer_seconds
from alpa_mlir.intra_op.shard import NormalizedModule
from alpa_mlir.intra_op.shortage import describe_shortage
from alpa_mlir.options import PipelineMethod
from alpa_mlir.report.phases import Phases

SCHEDULE_KINDS = {
    "gpipe": ScheduleKind.GPIPE,
    "1f1b": ScheduleKind.ONE_F_ONE_B,
    "eager_1f1b": ScheduleKind.EAGER_ONE_F_ONE_B,
    "inference": ScheduleKind.INFERENCE,
}
# More microbatches than these cost planning time and win little: the bubble is small by then.
_MICROBATCHES_TO_TRY = (2, 4, 8, 16, 32)
_MAX_MICROBATCH_CHOICES = 3
# A range of layers is costed on submeshes that fit its share of the step's FLOPs to this factor.
_IMBALANCE_TOLERANCE = 2.5


@dataclass(frozen=True, eq=False)
class ChosenStage:
    """A stage of the answer; `num_in_flight` as the schedule will have it."""

    first_layer: int
    end_layer: int
    submesh: tuple[int, int]
    first_device: int
    mesh: LogicalMesh
    cost: StageCost
    is_rematerialized: bool
    num_in_flight: int


@dataclass(frozen=True, eq=False)
class PipelineChoice:
    """The answer: the step in layers, and what becomes of them."""

    layered: LayeredStep
    schedule: str
    stages: tuple[ChosenStage, ...]
    step_seconds: float


@dataclass(frozen=True)
class _Option:
    """A range of layers on a submesh under a logical mesh."""

    first_layer: int
    end_layer: int
    submesh: int
    mesh: LogicalMesh
    is_rematerialized: bool = False
    num_in_flight: int = 1

    @property
    def range(self) -> tuple[int, int, bool, int]:
        return self.first_layer, self.end_layer, self.is_rematerialized, self.num_in_flight


def search_pipeline(
    step: NormalizedModule,
    method: PipelineMethod,
    cluster: Cluster,
    batch_size: int,
    phases: Phases,
) -> PipelineChoice:
    """The fastest pipeline of `step`.

    Raises:
      PassError: the step cannot be split into microbatches, or layers.
      InfeasibleError: no pipeline fits into memory.
    """
    search = _Search(method, cluster, phases)
    best: PipelineChoice | None = None
    infeasible: InfeasibleError | None = None
    for num_microbatches in microbatch_choices(method, batch_size):
        with phases(f"layers of {num_microbatches} microbatches"):
            layered = _in_layers(step, method, cluster, num_microbatches)
        try:
            choice = search.run(layered)
        except InfeasibleError as error:
            infeasible = error
            continue
        if best is None or choice.step_seconds < best.step_seconds:
            best = choice
    if best is None:
        raise infeasible or InfeasibleError(
            f"expected a number of microbatches that divides the batch of {batch_size}, got none"
        )
    return best


def _in_layers(
    step: NormalizedModule, method: PipelineMethod, cluster: Cluster, num_microbatches: int
) -> LayeredStep:
    """In as many layers as seem useful, but one for every stage that the method asks for.

    Raises:
      ArgumentError: there are more stages than layers.
    """

    def layered(num_layers: int) -> LayeredStep:
        return LayeredStep.make(step, num_microbatches, num_layers, method.allow_local_statistics)

    least = cluster.num_devices // max(n * d for n, d in method.submeshes(cluster))
    if method.num_layers != "auto":
        if method.num_layers < least:
            raise ArgumentError(
                f"expected num_layers of at least {least}, one for every stage that the method "
                f"asks for, got {method.num_layers}; ask for more layers or fewer stages"
            )
        return layered(method.num_layers)
    chosen = layered(0)
    if chosen.num_layers >= least:
        return chosen
    try:
        return layered(least)
    except PassError as error:
        raise ArgumentError(
            f"expected a step with a layer for each of the {least} stages that the method asks "
            f"for; ask for fewer stages: {error}"
        ) from None


def microbatch_choices(method: PipelineMethod, batch_size: int) -> list[int]:
    if method.num_microbatches != "auto":
        return [method.num_microbatches]
    fitting = [m for m in _MICROBATCHES_TO_TRY if m <= batch_size and batch_size % m == 0]
    return fitting[-_MAX_MICROBATCH_CHOICES:] or [1]


class _Search:
    def __init__(self, method: PipelineMethod, cluster: Cluster, phases: Phases) -> None:
        self.method = method
        self.cluster = cluster
        self.phases = phases
        self.submeshes = method.submeshes(cluster)
        processes = method.num_processes
        self.table = CostTable(
            default_cache_dir() if method.cache_dir == "auto" else _path(method.cache_dir),
            (os.cpu_count() or 1) if processes is None else processes,
        )

    @property
    def memory_limit_bytes(self) -> int:
        return self.method.memory_limit_bytes or self.cluster.device.memory_bytes

    def run(self, layered: LayeredStep) -> PipelineChoice:
        with self.phases("cut layers"):
            crossings = Crossings.of(layered)
        kinds = self._schedules(crossings.has_backward)
        options = list(self._options(layered))
        costs = self._costs(layered, options)
        for variants in (self._rematerialized, self._crowded):
            more = list(variants(options, costs, kinds, layered.num_microbatches))
            costs += self._costs(layered, more)
            options += more
        with self.phases("choose stages"):
            transfers = transfer_seconds(crossings, self.submeshes, self.cluster)

            def solve_within(memory_limit_bytes: int) -> StagePlan:
                return solve_stages(
                    self._problem(layered, options, costs, transfers, kind, memory_limit_bytes)
                    for kind in kinds.values()
                )

            try:
                solution = solve_within(self.memory_limit_bytes)
            except InfeasibleError as error:
                shortage = self._shortage(layered, options, costs, kinds, solve_within)
                raise InfeasibleError(f"{error}. {shortage}") from None
        solution.verify()
        return self._choice(layered, options, costs, kinds, solution)

    def _schedules(self, has_backward: bool) -> dict[str, ScheduleKind]:
        if not has_backward:
            return {"inference": SCHEDULE_KINDS["inference"]}
        if self.method.schedule == "inference":
            raise ArgumentError(
                "expected a schedule of a step with a backward pass, got 'inference'; name gpipe, "
                '1f1b or eager_1f1b, or leave it to "auto"'
            )
        if self.method.schedule != "auto":
            return {self.method.schedule: SCHEDULE_KINDS[self.method.schedule]}
        return {name: SCHEDULE_KINDS[name] for name in ("1f1b", "eager_1f1b", "gpipe")}

    def _options(self, layered: LayeredStep) -> Iterator[_Option]:
        """Every range on every submesh that is neither far too large nor far too small for it."""
        num_layers, num_devices = layered.num_layers, self.cluster.num_devices
        for first, end in product(range(num_layers), range(1, num_layers + 1)):
            if first >= end:
                continue
            share = (end - first) / num_layers
            for index, (nodes, devices) in enumerate(self.submeshes):
                ratio = share / (nodes * devices / num_devices)
                slack = _IMBALANCE_TOLERANCE if num_layers > 2 else float("inf")
                if not 1 / slack <= ratio <= slack:
                    continue
                part = replace(self.cluster, num_nodes=nodes, devices_per_node=devices)
                for mesh in self.method.logical_meshes(part):
                    yield _Option(first, end, index, mesh, self.method.rematerialize is True)

    def _costs(self, layered: LayeredStep, options: Sequence[_Option]) -> list[StageCost | None]:
        with self.phases("extract stages"):
            ranges = {option.range for option in options}
            stages = {key: layered.range(*key) for key in sorted(ranges)}
        questions = [
            StageQuestion(
                text=stage.text,
                key=stage.key,
                mesh=option.mesh,
                cluster=self.cluster,
                num_microbatches=layered.num_microbatches,
                num_in_flight=option.num_in_flight,
                strategy_space=self.method.strategy_space,
                memory_limit_bytes=self.method.memory_limit_bytes,
                time_limit_seconds=self.method.time_limit_seconds,
                target_gap=self.method.target_gap,
            )
            for option in options
            for stage in [stages[option.range]]
        ]
        with self.phases("shard stages"):
            return self.table.costs(questions, f"{layered.num_microbatches} microbatches: stages")

    def _shortage(
        self,
        layered: LayeredStep,
        options: Sequence[_Option],
        costs: Sequence[StageCost | None],
        kinds: dict[str, ScheduleKind],
        solve_within: Callable[[int], StagePlan],
    ) -> str:
        """What the pipeline that needs least memory lacks, and which of its stages."""
        counts = self._in_flight(kinds, layered.num_microbatches)
        limits = sorted({cost.memory_bytes(k) for cost in costs if cost for k in counts})
        least = bisect_left(limits, True, key=lambda limit: _has_answer(solve_within, limit))
        if least == len(limits):
            return self._misfit(layered, options, costs)
        stages = solve_within(limits[least]).stages
        number, stage = max(enumerate(stages), key=lambda entry: entry[1].memory_bytes)
        nodes, devices = stage.submesh
        missing = stage.memory_bytes - self.memory_limit_bytes
        return (
            f"{missing} bytes per device are missing in the pipeline that needs least of those found: stage "
            f"{number}, layers [{stage.first_layer}, {stage.end_layer}) on {nodes} x {devices} "
            f"devices, needs {stage.memory_bytes} of {self.memory_limit_bytes}"
        )

    def _misfit(
        self,
        layered: LayeredStep,
        options: Sequence[_Option],
        costs: Sequence[StageCost | None],
    ) -> str:
        """Why the first layer that fits nowhere does not, alone on the most devices."""
        fitting = [option for option, cost in zip(options, costs, strict=True) if cost]
        for layer in range(layered.num_layers):
            if any(option.first_layer <= layer < option.end_layer for option in fitting):
                continue
            option = max(
                (o for o in options if o.first_layer <= layer < o.end_layer),
                key=lambda o: (o.first_layer - o.end_layer, o.mesh.num_devices),
            )
            model = StageModel.make(
                layered.range(*option.range).text,
                option.mesh,
                self.cluster,
                self.method.strategy_space,
                self.method.memory_limit_bytes,
            )
            nodes, devices = self.submeshes[option.submesh]
            return (
                f"Layers [{option.first_layer}, {option.end_layer}) fit nowhere, on {nodes} x "
                f"{devices} devices as {option.mesh} for this reason: "
                f"{describe_shortage(model.model) or 'no choice of shardings fits'}"
            )
        return "Layers that fit do not make up stages for all devices"

    def _rematerialized(
        self,
        options: Sequence[_Option],
        costs: Sequence[StageCost | None],
        kinds: dict[str, ScheduleKind],
        num_microbatches: int,
    ) -> Iterator[_Option]:
        """Options to keep less for the backward, where memory may be short."""
        if self.method.rematerialize != "auto" or "inference" in kinds:
            return
        most = self._in_flight(kinds, num_microbatches)[-1]
        for option, cost in zip(options, costs, strict=True):
            if cost is None or cost.memory_bytes(most) > self.memory_limit_bytes:
                yield replace(option, is_rematerialized=True)

    def _crowded(
        self,
        options: Sequence[_Option],
        costs: Sequence[StageCost | None],
        kinds: dict[str, ScheduleKind],
        num_microbatches: int,
    ) -> Iterator[_Option]:
        """Options to shard again for more microbatches in flight, where memory is short then."""
        for option, cost in zip(options, costs, strict=True):
            if cost is None or cost.activation_bytes == 0:
                continue
            for count in self._in_flight(kinds, num_microbatches):
                if count > 1 and cost.memory_bytes(count) > self.memory_limit_bytes:
                    yield replace(option, num_in_flight=count)

    def _in_flight(self, kinds: dict[str, ScheduleKind], num_microbatches: int) -> list[int]:
        """How many microbatches some stage may hold, ascending."""
        most_stages = self.cluster.num_devices // min(n * d for n, d in self.submeshes)
        counts = {
            max_in_flight(kind, stages_to_end, num_microbatches)
            for kind in kinds.values()
            for stages_to_end in range(1, most_stages + 1)
        }
        return sorted(counts)

    def _problem(
        self,
        layered: LayeredStep,
        options: Sequence[_Option],
        costs: Sequence[StageCost | None],
        transfers: list[float],
        kind: ScheduleKind,
        memory_limit_bytes: int,
    ) -> StageProblem:
        return StageProblem(
            num_layers=layered.num_layers,
            cluster=Submesh(self.cluster.num_nodes, self.cluster.devices_per_node),
            submeshes=[Submesh(*submesh) for submesh in self.submeshes],
            candidates=[
                StageCandidate(
                    first_layer=option.first_layer,
                    end_layer=option.end_layer,
                    submesh=option.submesh,
                    compute_seconds=cost.seconds,
                    update_seconds=cost.update_seconds,
                    resident_bytes=cost.resident_bytes,
                    activation_bytes=cost.activation_bytes,
                )
                for option, cost in zip(options, costs, strict=True)
                if cost is not None
            ],
            transfer_seconds=transfers,
            memory_limit_bytes=memory_limit_bytes,
            num_microbatches=layered.num_microbatches,
            schedule=kind,
        )

    def _choice(
        self,
        layered: LayeredStep,
        options: Sequence[_Option],
        costs: Sequence[StageCost | None],
        kinds: dict[str, ScheduleKind],
        solution: StagePlan,
    ) -> PipelineChoice:
        candidates = [(o, c) for o, c in zip(options, costs, strict=True) if c is not None]
        num_stages = len(solution.stages)
        stages: list[ChosenStage] = []
        for number, stage in enumerate(solution.stages):
            option, cost = candidates[stage.candidate]
            in_flight = max_in_flight(
                solution.schedule, num_stages - number, layered.num_microbatches
            )
            stages.append(
                ChosenStage(
                    stage.first_layer,
                    stage.end_layer,
                    stage.submesh,
                    stage.first_device,
                    option.mesh,
                    cost,
                    option.is_rematerialized,
                    in_flight,
                )
            )
        schedule = next(name for name, kind in kinds.items() if kind == solution.schedule)
        return PipelineChoice(layered, schedule, tuple(stages), solution.step_seconds)


def _has_answer(solve_within: Callable[[int], StagePlan], memory_limit_bytes: int) -> bool:
    try:
        solve_within(memory_limit_bytes)
    except InfeasibleError:
        return False
    return True


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
