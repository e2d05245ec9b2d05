"""The best stages of one step in layers: costs of options, and the stage DP over them.

Every option is costed once as if memory had no limit, long ranges of layers from short ones
(`range_costs`), which is quick. What fits, and what a range costs as a whole, is asked only of
options that the DP wants:

1. An option that does not fit stands in with the time it has without a limit, and no memory: no
   sharding of it that fits is faster. Nor is one with other layers at its ends than in its middle
   faster than its middle alone, which is what such options cost at first.
2. The DP finds the best stages. What is bare among them gets its ends; stand-ins among them are
   replaced by points of their frontier of time and memory. Back to 2.
3. Estimates among them are replaced by what the stage takes, sharded whole, with the memory there
   is. Back to 2. If there are none, or if stages without estimates are as fast but for the error of
   these, the stages are the answer.

Options are costed whatever the stages around them. What a stage hands on depends on these (see
FunctionCutter.h: a reader makes again what is cheap there), so the stages of the answer are costed
once more as they are cut, where that differs.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from alpa_mlir._native import ScheduleKind, StageProblem, Submesh, max_in_flight
from alpa_mlir.cluster import Cluster
from alpa_mlir.errors import ArgumentError, InfeasibleError
from alpa_mlir.inter_op.candidates import Candidates
from alpa_mlir.inter_op.choose import ChosenStage, StageSolution, choose_stages
from alpa_mlir.inter_op.cost_cache import cache_of
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.crossings import Crossings, transfer_seconds
from alpa_mlir.inter_op.layers import LayeredStep, SplitStep
from alpa_mlir.inter_op.options import StageOption, submeshes_of
from alpa_mlir.inter_op.range_costs import RangeCosts
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.shortage import describe_shortage
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.progress import Stopwatch
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS
from alpa_mlir.units import format_bytes, format_numbered

# As a part of the step's time (tests/plan/test_range_costs.py): to look for less is in vain.
_ESTIMATES_ERROR = 0.01


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


class StageSearch(AbstractContextManager["StageSearch"]):
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

    def __exit__(self, *exception: Any) -> None:
        self.table.__exit__(*exception)

    def run(self, layered: LayeredStep, less_than_seconds: float = inf) -> PipelineChoice | None:
        """The fastest pipeline of the step; None as soon as it is known to take that long.

        Raises:
          InfeasibleError: none fits into memory.
        """
        return _LayeredSearch(self, layered).run(less_than_seconds)


class _LayeredSearch:
    def __init__(self, search: StageSearch, layered: LayeredStep) -> None:
        self.search = search
        self.layered = layered
        self.stopwatch = search.stopwatch
        with self.stopwatch("cut layers"):
            every = layered.split(range(layered.num_layers))
            crossings = Crossings.of(every)
            self.ranges = RangeCosts(
                layered, every, search.method, search.cluster, search.table, search.stopwatch
            )
        self.kinds = self._schedules(crossings.has_backward)
        self.candidates = Candidates(
            self.ranges,
            search.submeshes,
            search.memory_limit_bytes,
            list(self.kinds.values()),
            has_backward=crossings.has_backward,
        )
        self.transfers = transfer_seconds(crossings, search.submeshes, search.cluster)

    def run(self, less_than_seconds: float) -> PipelineChoice | None:
        candidates = self.candidates
        candidates.add_first()
        while True:
            with self.stopwatch("choose stages"):
                try:
                    solution = self._solve(candidates.options, self.search.memory_limit_bytes)
                except InfeasibleError as error:
                    raise InfeasibleError(f"{error}. {self._shortage()}") from None
            if solution.step_seconds >= less_than_seconds:
                return None  # what stands in, or is estimated, becomes no faster
            chosen = [(candidates.options[s.candidate], s.num_in_flight) for s in solution.stages]
            if any(option.is_bare for option, _ in chosen):
                candidates.complete([option for option, _ in chosen if option.is_bare])
            elif any(option.is_stand_in for option, _ in chosen):
                candidates.fit([option for option, _ in chosen if option.is_stand_in])
            elif any(option.is_estimate for option, _ in chosen):
                if settled := self._settled(solution.step_seconds):
                    return settled
                candidates.settle([each for each in chosen if each[0].is_estimate])
            else:
                return self._choice(candidates.options, solution)

    def _settled(self, promised_seconds: float) -> PipelineChoice | None:
        """A pipeline of stages that were sharded whole, if estimates promise little more."""
        known = [
            o for o in self.candidates.options if not (o.is_estimate or o.is_stand_in or o.is_bare)
        ]
        with self.stopwatch("choose stages"), suppress(InfeasibleError):
            solution = self._solve(known, self.search.memory_limit_bytes)
            if solution.step_seconds <= (1 + _ESTIMATES_ERROR) * promised_seconds:
                return self._choice(known, solution)
        return None

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

    @property
    def _most_in_flight(self) -> int:
        smallest = min(nodes * devices for nodes, devices in self.search.submeshes)
        most_stages = self.search.cluster.num_devices // smallest
        m = self.layered.num_microbatches
        return max(max_in_flight(kind, most_stages, m) for kind in self.kinds.values())

    # --- The stage DP ---

    def _solve(self, candidates: Sequence[StageOption], memory_limit_bytes: int) -> StageSolution:
        return choose_stages(
            self._problem(candidates, kind, memory_limit_bytes) for kind in self.kinds.values()
        )

    def _shortage(self) -> str:
        """What the pipeline that needs least memory of those costed lacks, and which stage."""
        in_flight = range(1, self._most_in_flight + 1)
        limits = sorted(
            {c.known_cost.memory_bytes(k) for c in self.candidates.costed for k in in_flight}
        )
        least = bisect_left(limits, True, key=self._has_answer)
        if least == len(limits):
            return "Whatever the memory, the layers make up no stages that use all devices"
        stages = self._solve(self.candidates.costed, limits[least]).stages
        number, stage = max(enumerate(stages), key=lambda entry: entry[1].memory_bytes)
        nodes, devices = stage.submesh
        limit = self.search.memory_limit_bytes
        layers = format_numbered("layer", range(stage.first_layer, stage.end_layer))
        lacking = (
            "Of the pipelines found, the one that needs least lacks "
            f"{format_bytes(stage.memory_bytes - limit)} per device: its stage {number}, {layers} "
            f"on {nodes} x {devices} devices, needs {format_bytes(stage.memory_bytes)} of "
            f"{format_bytes(limit)}"
        )
        reason = self._why_nothing_fits(self.candidates.costed[stage.candidate])
        return f"{lacking}. There {reason}" if reason else lacking

    def _why_nothing_fits(self, option: StageOption) -> str | None:
        """The op at which even the smallest shardings of a stage need too much, if there is one."""
        model = StageModel.of(
            self.ranges.module(option).module.clone(),
            option.mesh,
            self.search.cluster,
            self.search.method.strategy_space,
            self.search.memory_limit_bytes,
            option.num_in_flight,
        )
        return describe_shortage(model.model)

    def _has_answer(self, memory_limit_bytes: int) -> bool:
        try:
            self._solve(self.candidates.costed, memory_limit_bytes)
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

    def _choice(self, candidates: list[StageOption], solution: StageSolution) -> PipelineChoice:
        solution.verify()
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
            modules = [split.stage(number) for number in range(split.num_stages)]
        others = [
            number
            for number, (module, option) in enumerate(zip(modules, options, strict=True))
            if module.key != self.ranges.module(option).key
        ]
        costs = self.ranges.ask(
            [modules[number] for number in others],
            [options[number] for number in others],
            self.search.memory_limit_bytes,
            self.search.method.target_gap,
            "stages as they are cut",
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
