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
from math import log

from alpa_mlir._native import ScheduleKind, StageProblem, Submesh, max_in_flight
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.errors import ArgumentError, InfeasibleError
from alpa_mlir.inter_op.choose import ChosenStage, StageSolution, choose_stages
from alpa_mlir.inter_op.cost_cache import cache_of
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.crossings import Crossings, transfer_seconds
from alpa_mlir.inter_op.kinds import parts_of
from alpa_mlir.inter_op.layers import LayeredStep, SplitStep
from alpa_mlir.inter_op.options import StageOption, stage_options, submeshes_of
from alpa_mlir.inter_op.range_costs import RangeCosts
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.shortage import describe_shortage
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.progress import Stopwatch
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS
from alpa_mlir.units import format_bytes

# Prices of a byte that are tried, each so many times the one before.
_PRICE_STEP = 8.0
_MOST_PRICES = 6


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
        self._costed: list[StageOption] = []
        with self.stopwatch("cut layers"):
            every = layered.split(range(layered.num_layers))
            crossings = Crossings.of(every)
            self.ranges = RangeCosts(
                layered, every, search.method, search.cluster, search.table, search.stopwatch
            )
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
            chosen = [(candidates[s.candidate], s.num_in_flight) for s in solution.stages]
            if stand_ins := [(option, held) for option, held in chosen if option.is_stand_in]:
                candidates = self._fitted(candidates, stand_ins)
            elif estimates := [(option, held) for option, held in chosen if option.is_estimate]:
                candidates = self._settled(candidates, estimates)
            else:
                solution.verify()
                return self._choice(candidates, solution)

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
        limit = search.memory_limit_bytes
        for costed in self._estimated(options, "stages"):
            if costed.known_cost.memory_bytes(1) <= limit:
                yield costed
            if costed.known_cost.memory_bytes(self._most_in_flight) > limit:
                yield replace(costed, is_stand_in=True)

    @property
    def _most_in_flight(self) -> int:
        smallest = min(nodes * devices for nodes, devices in self.search.submeshes)
        most_stages = self.search.cluster.num_devices // smallest
        m = self.layered.num_microbatches
        return max(max_in_flight(kind, most_stages, m) for kind in self.kinds.values())

    def _estimated(self, options: Sequence[StageOption], title: str) -> Iterator[StageOption]:
        for option, cost in zip(options, self.ranges.estimates(options, title), strict=True):
            if cost is not None:
                is_whole = parts_of(self.ranges.kinds_of(option)).is_whole
                self._costed.append(replace(option, cost=cost, is_estimate=not is_whole))
                yield self._costed[-1]

    def _fitted(
        self, candidates: Sequence[StageOption], stand_ins: Sequence[tuple[StageOption, int]]
    ) -> list[StageOption]:
        """With what fits in place of these stand-ins, and of those that differ in length alone."""
        result = list(candidates)
        for wanted, _ in stand_ins:
            alike = [c for c in result if c.is_stand_in and self._is_of_family(c, wanted)]
            result = [c for c in result if c not in alike]
            for way in self._ways() if alike else ():
                result += self._frontier(
                    [replace(c, is_rematerialized=way, is_stand_in=False) for c in alike], wanted
                )
        return result

    def _ways(self) -> list[bool]:
        """Whether to rematerialize."""
        if self.search.method.rematerialize == "auto" and "inference" not in self.kinds:
            return [False, True]
        return [self.search.method.rematerialize is True]

    def _frontier(self, options: list[StageOption], wanted: StageOption) -> list[StageOption]:
        """Points of the options' frontiers of time and memory, until all fit whatever is in flight."""
        limit, held = self.search.memory_limit_bytes, self._most_in_flight
        nodes, devices = self.search.submeshes[wanted.submesh]
        num_stages = self.search.cluster.num_devices // (nodes * devices)
        in_flight = min(num_stages // 2 + 1, self.layered.num_microbatches)
        # A round number, so that other ranges share what is sharded for it.
        lowest = wanted.known_cost.cost / limit / _PRICE_STEP**2
        price = _PRICE_STEP ** round(log(max(lowest, 1e-9), _PRICE_STEP))
        points: list[StageOption] = []
        for step in range(_MOST_PRICES):
            asked = [
                replace(o, num_in_flight=in_flight, byte_price=price * _PRICE_STEP**step, cost=None)
                for o in options
            ]
            found = list(self._estimated(asked, "stages that fit"))
            points += [each for each in found if each.known_cost.memory_bytes(1) <= limit]
            if all(each.known_cost.memory_bytes(held) <= limit for each in found):
                break
        return points

    def _settled(
        self, candidates: Sequence[StageOption], estimates: Sequence[tuple[StageOption, int]]
    ) -> list[StageOption]:
        """With these ranges of layers, and those alike, sharded whole to fit, in place of estimates
        that promise more."""
        asked = [
            replace(option, num_in_flight=held, byte_price=0.0, cost=None, is_estimate=False)
            for option, held in estimates
        ]
        costs = self.ranges.whole(asked, self.search.memory_limit_bytes, "stages of the plan")
        result = list(candidates)
        for (estimate, held), option, cost in zip(estimates, asked, costs, strict=True):
            seconds = estimate.known_cost.seconds if cost is None else cost.seconds

            def promises(
                other: StageOption,
                estimate: StageOption = estimate,
                held: int = held,
                seconds: float = seconds,
            ) -> bool:
                return (
                    other.is_estimate
                    and self._is_same(other, estimate)
                    and other.known_cost.memory_bytes(held) <= self.search.memory_limit_bytes
                    and other.known_cost.seconds <= seconds
                )

            places = {(c.first_layer, c.end_layer) for c in result if self._is_same(c, estimate)}
            result = [c for c in result if c is not estimate and not promises(c)]
            if cost is not None:
                whole = [
                    replace(option, first_layer=first, end_layer=end, cost=cost)
                    for first, end in sorted(places)
                ]
                self._costed += whole
                result += whole
        return result

    def _is_of_family(self, option: StageOption, other: StageOption) -> bool:
        """Whether they differ in nothing but how often layers repeat."""
        kinds = [
            {part for part, _ in parts_of(self.ranges.kinds_of(each)).weights}
            for each in (option, other)
        ]
        return kinds[0] == kinds[1] and _place(option) == _place(other)

    def _is_same(self, option: StageOption, other: StageOption) -> bool:
        """Whether they run layers that do the same in the same way."""
        return (
            _place(option) == _place(other)
            and option.is_rematerialized == other.is_rematerialized
            and self.ranges.kinds_of(option) == self.ranges.kinds_of(other)
        )

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
            self.ranges.module(option).text,
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


def _place(option: StageOption) -> tuple[int, LogicalMesh]:
    return option.submesh, option.mesh
