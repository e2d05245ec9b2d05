"""The best stages of one step in layers: costs of options, and the stage DP over them.

Every option is sharded once as if memory had no limit, which is quick. Where that takes more memory
than there is, sharding it to fit takes long; it is done only for options that the DP wants:

1. An option that does not fit stands in with the time it has without a limit, and no memory: no
   sharding of it that fits is faster.
2. The DP finds the best stages. If no stand-in is among them, they are the answer.
3. Stand-ins among them are sharded to fit, with and without rematerialization, for as many
   microbatches as they are to hold there, and replaced by what comes of it. Back to 2.

Options are costed whatever the stages around them. What a stage hands on depends on these (see
FunctionCutter.h: a reader makes again what is cheap there), so the stages of the answer are costed
once more as they are cut, where that differs.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from alpa_mlir._native import ScheduleKind, StageProblem, Submesh, max_in_flight
from alpa_mlir.cluster import Cluster
from alpa_mlir.errors import ArgumentError, InfeasibleError
from alpa_mlir.inter_op.choose import ChosenStage, StageSolution, choose_stages
from alpa_mlir.inter_op.cost_cache import cache_of
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.costs import StageCost, StageQuestion
from alpa_mlir.inter_op.crossings import Crossings, transfer_seconds
from alpa_mlir.inter_op.layers import LayeredStep, SplitStep, StageModule
from alpa_mlir.inter_op.options import StageOption, stage_options, submeshes_of
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.shortage import describe_shortage
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.progress import Stopwatch
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS
from alpa_mlir.units import format_bytes

_NO_LIMIT = 1 << 49  # bytes


@dataclass(frozen=True, eq=False)
class PipelineChoice:
    """The answer: the step in layers, and what becomes of them.

    Attributes:
      split: the layers, cut into the stages.
      options: that the stages were chosen from, in their order.
    """

    layered: LayeredStep
    split: SplitStep
    schedule: str
    stages: tuple[ChosenStage, ...]
    options: tuple[StageOption, ...]
    step_seconds: float


class StageSearch:
    """Searches steps of one program; what was costed for one is known for the next."""

    def __init__(self, method: SearchedPipeline, cluster: Cluster, stopwatch: Stopwatch) -> None:
        self.method = method
        self.cluster = cluster
        self.stopwatch = stopwatch
        self.submeshes = submeshes_of(method, cluster)
        self.memory_limit_bytes = method.memory_limit_bytes or cluster.device.memory_bytes
        processes = method.num_processes
        self.table = CostTable(
            cache_of(method), (os.cpu_count() or 1) if processes is None else processes, stopwatch
        )

    def run(self, layered: LayeredStep) -> PipelineChoice:
        """The fastest pipeline of the step.

        Raises:
          InfeasibleError: none fits into memory.
        """
        return _LayeredSearch(self, layered).run()


class _LayeredSearch:
    def __init__(self, search: StageSearch, layered: LayeredStep) -> None:
        self.search = search
        self.layered = layered
        self.stopwatch = search.stopwatch
        self._modules: dict[tuple[int, int, bool, int], StageModule] = {}
        self._costed: list[StageOption] = []
        with self.stopwatch("cut layers"):
            crossings = Crossings.of(layered)
        self.kinds = self._schedules(crossings.has_backward)
        self.transfers = transfer_seconds(crossings, search.submeshes, search.cluster)

    def run(self) -> PipelineChoice:
        candidates = list(self._first_candidates())
        while True:
            with self.stopwatch("choose stages"):
                try:
                    solution = self._solve(candidates, self.search.memory_limit_bytes)
                except InfeasibleError as error:
                    raise InfeasibleError(f"{error}. {self._shortage()}") from None
            wanted = self._wanted(candidates, solution)
            if not wanted:
                solution.verify()
                return self._choice(candidates, solution)
            candidates = [c for c in candidates if not self._is_settled(c, wanted)]
            candidates += self._fitting(wanted)

    def _schedules(self, has_backward: bool) -> dict[str, ScheduleKind]:
        if not has_backward:
            return {"inference": SCHEDULE_KINDS["inference"]}
        asked = self.search.method.schedule
        if asked == "inference":
            raise ArgumentError(
                "expected a schedule of a step with a backward pass, got 'inference'; name gpipe, "
                '1f1b or eager_1f1b, or leave it to "auto"'
            )
        names = ("1f1b", "eager_1f1b", "gpipe") if asked == "auto" else (asked,)
        return {name: SCHEDULE_KINDS[name] for name in names}

    # --- Candidates ---

    def _first_candidates(self) -> Iterator[StageOption]:
        search = self.search
        options = list(
            stage_options(self.layered.num_layers, search.submeshes, search.method, search.cluster)
        )
        for option, cost in zip(options, self._costs_of(options, _NO_LIMIT), strict=True):
            if cost is None:
                continue
            costed = replace(option, cost=cost)
            self._costed.append(costed)
            if cost.memory_bytes(1) <= search.memory_limit_bytes:
                yield costed
            if cost.memory_bytes(self._most_in_flight) > search.memory_limit_bytes:
                yield replace(costed, is_stand_in=True)

    @property
    def _most_in_flight(self) -> int:
        smallest = min(nodes * devices for nodes, devices in self.search.submeshes)
        most_stages = self.search.cluster.num_devices // smallest
        m = self.layered.num_microbatches
        return max(max_in_flight(kind, most_stages, m) for kind in self.kinds.values())

    def _wanted(
        self, candidates: Sequence[StageOption], solution: StageSolution
    ) -> list[tuple[StageOption, int]]:
        """The stand-ins among the stages, each with the microbatches it is to hold."""
        return [
            (candidates[stage.candidate], stage.num_in_flight)
            for stage in solution.stages
            if candidates[stage.candidate].is_stand_in
        ]

    def _is_settled(
        self, candidate: StageOption, wanted: Sequence[tuple[StageOption, int]]
    ) -> bool:
        """Whether it stands for what is sharded to fit now, if only for other layers alike."""
        return candidate.is_stand_in and any(
            self._module(candidate).key == self._module(other).key
            and (candidate.submesh, candidate.mesh) == (other.submesh, other.mesh)
            for other, _ in wanted
        )

    def _fitting(self, wanted: Sequence[tuple[StageOption, int]]) -> Iterator[StageOption]:
        """All options like those wanted, sharded to fit."""
        ways = {self.search.method.rematerialize is True}
        if self.search.method.rematerialize == "auto" and "inference" not in self.kinds:
            ways = {False, True}
        alike = [
            replace(option, is_rematerialized=way, num_in_flight=num_in_flight)
            for candidate, num_in_flight in wanted
            for option in self._alike(replace(candidate, cost=None, is_stand_in=False))
            for way in sorted(ways)
        ]
        options = list(dict.fromkeys(alike))
        costs = self._costs_of(options, self.search.memory_limit_bytes)
        for option, cost in zip(options, costs, strict=True):
            if cost is not None:
                self._costed.append(replace(option, cost=cost))
                yield self._costed[-1]

    def _alike(self, option: StageOption) -> Iterator[StageOption]:
        """The option on all ranges of layers that do the same."""
        length, key = option.end_layer - option.first_layer, self._module(option).key
        for first in range(self.layered.num_layers - length + 1):
            other = replace(option, first_layer=first, end_layer=first + length)
            if self._module(other).key == key:
                yield other

    # --- Costs ---

    def _module(self, option: StageOption) -> StageModule:
        if option.range not in self._modules:
            with self.stopwatch("extract stages"):
                self._modules[option.range] = self.layered.range(*option.range)
        return self._modules[option.range]

    def _costs_of(self, options: Sequence[StageOption], limit: int) -> list[StageCost | None]:
        title = f"{self.layered.num_microbatches} microbatches, stages"
        if limit != _NO_LIMIT:
            title += " that fit"
        return self._costs(list(map(self._module, options)), options, limit, title)

    def _costs(
        self,
        modules: Sequence[StageModule],
        options: Sequence[StageOption],
        limit: int,
        title: str,
    ) -> list[StageCost | None]:
        method = self.search.method
        questions = [
            StageQuestion(
                text=module.text,
                key=module.key,
                mesh=option.mesh,
                cluster=self.search.cluster,
                num_microbatches=self.layered.num_microbatches,
                num_in_flight=option.num_in_flight,
                strategy_space=method.strategy_space,
                memory_limit_bytes=limit,
                time_limit_seconds=method.time_limit_seconds,
                target_gap=method.target_gap,
            )
            for module, option in zip(modules, options, strict=True)
        ]
        with self.stopwatch("shard stages"):
            return self.search.table.costs(questions, title)

    # --- The stage DP ---

    def _solve(self, candidates: Sequence[StageOption], memory_limit_bytes: int) -> StageSolution:
        return choose_stages(
            self._problem(candidates, kind, memory_limit_bytes) for kind in self.kinds.values()
        )

    def _shortage(self) -> str:
        """What the pipeline that needs least memory of those costed lacks, and which stage."""
        in_flight = range(1, self._most_in_flight + 1)
        limits = sorted({c.known_cost.memory_bytes(k) for c in self._costed for k in in_flight})
        least = bisect_left(limits, True, key=self._has_answer)
        if least == len(limits):
            return "Whatever the memory, the layers make up no stages that use all devices"
        stages = self._solve(self._costed, limits[least]).stages
        number, stage = max(enumerate(stages), key=lambda entry: entry[1].memory_bytes)
        nodes, devices = stage.submesh
        limit = self.search.memory_limit_bytes
        lacking = (
            "Of the pipelines found, the one that needs least lacks "
            f"{format_bytes(stage.memory_bytes - limit)} per device: its stage {number}, layers "
            f"{stage.first_layer} to {stage.end_layer - 1} on {nodes} x {devices} devices, needs "
            f"{format_bytes(stage.memory_bytes)} of {format_bytes(limit)}"
        )
        reason = self._why_nothing_fits(self._costed[stage.candidate])
        return f"{lacking}. There {reason}" if reason else lacking

    def _why_nothing_fits(self, option: StageOption) -> str | None:
        """The op at which even the smallest shardings of a stage need too much, if there is one."""
        model = StageModel.make(
            self._module(option).text,
            option.mesh,
            self.search.cluster,
            self.search.method.strategy_space,
            self.search.memory_limit_bytes,
        )
        return describe_shortage(model.model)

    def _has_answer(self, memory_limit_bytes: int) -> bool:
        try:
            self._solve(self._costed, memory_limit_bytes)
        except InfeasibleError:
            return False
        return True

    def _problem(
        self, candidates: Sequence[StageOption], kind: ScheduleKind, memory_limit_bytes: int
    ) -> StageProblem:
        cluster = self.search.cluster
        return StageProblem(
            num_layers=self.layered.num_layers,
            cluster=Submesh(cluster.num_nodes, cluster.devices_per_node),
            submeshes=[Submesh(*submesh) for submesh in self.search.submeshes],
            candidates=[candidate.candidate() for candidate in candidates],
            transfer_seconds=self.transfers,
            memory_limit_bytes=memory_limit_bytes,
            num_microbatches=self.layered.num_microbatches,
            schedule=kind,
        )

    def _choice(self, candidates: Sequence[StageOption], solution: StageSolution) -> PipelineChoice:
        options = [candidates[stage.candidate] for stage in solution.stages]
        with self.stopwatch("cut layers"):
            split = self.layered.split(
                [stage.first_layer for stage in solution.stages],
                [number for number, option in enumerate(options) if option.is_rematerialized],
            )
        schedule = next(name for name, kind in self.kinds.items() if kind == solution.schedule)
        return PipelineChoice(
            self.layered,
            split,
            schedule,
            solution.stages,
            self._as_cut(split, options),
            solution.step_seconds,
        )

    def _as_cut(self, split: SplitStep, options: list[StageOption]) -> tuple[StageOption, ...]:
        """The options with the costs that they have beside each other."""
        with self.stopwatch("extract stages"):
            modules = [split.stage(k, option.num_in_flight) for k, option in enumerate(options)]
        others = [
            number
            for number, (module, option) in enumerate(zip(modules, options, strict=True))
            if module.key != self._module(option).key
        ]
        costs = self._costs(
            [modules[number] for number in others],
            [options[number] for number in others],
            self.search.memory_limit_bytes,
            f"{self.layered.num_microbatches} microbatches, stages as they are cut",
        )
        for number, cost in zip(others, costs, strict=True):
            if cost is None:
                raise InfeasibleError(
                    f"expected stage {number}, layers {options[number].first_layer} to "
                    f"{options[number].end_layer - 1}, to fit into memory with what it hands on, "
                    "which no sharding found allows; ask for more microbatches, or another "
                    "num_stages or num_layers"
                )
            options[number] = replace(options[number], cost=cost)
        return tuple(options)
