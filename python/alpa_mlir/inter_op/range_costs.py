"""What ranges of layers cost: short ones as they are, long ones from short ones of the same kinds.

So cost grows with what is structurally new in a model, not with its depth. What is put together is
an estimate; the stages of the answer are sharded whole (`search`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from alpa_mlir.cluster import Cluster
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.costs import NO_LIMIT, StageCost, StageQuestion
from alpa_mlir.inter_op.kinds import Kinds, Parts, layer_kinds, parts_of
from alpa_mlir.inter_op.layers import LayeredStep, SplitStep, StageModule
from alpa_mlir.inter_op.options import StageOption
from alpa_mlir.inter_op.range_modules import RangeModules, RangeShape
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.progress import Stopwatch

# Of the gap that is asked for: differences between parts are multiplied.
_GAP_OF_PARTS = 0.1
# Of the solver, for the ends of ranges: some second of one core. They count once in an estimate,
# and a stage that is chosen by its estimate is sharded whole. Most are proven in a tenth of it.
_WORK_OF_ENDS = 1_000_000_000


@dataclass
class RangeCosts:
    """The costs of ranges of one step in layers.

    Args:
      every: the step, cut at every layer.
    """

    layered: LayeredStep
    every: SplitStep
    method: SearchedPipeline
    cluster: Cluster
    table: CostTable
    stopwatch: Stopwatch
    kinds: Kinds = field(init=False)
    _modules: RangeModules = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = layer_kinds(self.every)
        self._modules = RangeModules(self.layered, self.kinds)

    def kinds_of(self, option: StageOption) -> Kinds:
        return self.kinds[option.first_layer : option.end_layer]

    def module(self, option: StageOption) -> StageModule:
        """The option's layers as a stage of their own, or others that do the same."""
        return self._modules.get(_shape(self.kinds_of(option), option))

    def whole(
        self, options: Sequence[StageOption], limit: int, title: str
    ) -> list[StageCost | None]:
        """Each sharded as it is, to fit into `limit` bytes; None where that was not found.

        Of options that differ in the microbatches in flight alone, what fits with most of them fits
        with fewer: where it is as fast as what fits with fewest, nothing between is asked.
        """
        alike: dict[tuple[Kinds, StageOption], list[StageOption]] = {}
        for option in sorted(options, key=lambda option: option.num_in_flight):
            part = self.kinds_of(option), _way(option)
            alike.setdefault(part, []).append(option)
        known: dict[StageOption, StageCost | None] = {}

        def ask(wanted: Sequence[StageOption]) -> None:
            ranges = [(self.kinds_of(option), option) for option in wanted]
            costs = self.ask(self._cut(ranges), wanted, limit, self.method.target_gap, title)
            known.update(zip(wanted, costs, strict=True))

        ask([end for each in alike.values() for end in dict.fromkeys([each[0], each[-1]])])
        between: list[StageOption] = []
        for fewest, *middle, most in (each for each in alike.values() if len(each) > 1):
            fast, slow = known[fewest], known[most]
            if fast and slow and slow.cost <= (1 + self.method.target_gap) * fast.cost:
                known.update(dict.fromkeys(middle, slow))
            else:
                between += middle
        if between:
            ask(between)
        return [known[option] for option in options]

    def estimates(self, options: Sequence[StageOption], title: str) -> list[StageCost | None]:
        """Each sharded as if memory had no limit but the price that the option has."""
        parts = [parts_of(self.kinds_of(option)) for option in options]
        wanted: dict[tuple[Kinds, StageOption], bool] = {}  # and whether they count but once
        for option, of in zip(options, parts, strict=True):
            for kinds, _ in of.weights:
                part = kinds, replace(option, first_layer=0, end_layer=0)
                is_end = not of.is_whole and len(set(kinds)) > 1
                wanted[part] = wanted.get(part, True) and is_end
        # What takes longest must not be left for the end, when nothing is there beside it.
        ranges = sorted(wanted, key=lambda part: (len(part[0]), part[0], part[1].mesh.num_devices))
        ranges.reverse()
        costs = self.ask(
            self._cut(ranges),
            [option for _, option in ranges],
            NO_LIMIT,
            _GAP_OF_PARTS * self.method.target_gap,
            title,
            [_WORK_OF_ENDS if wanted[part] else None for part in ranges],
        )
        known = dict(zip(ranges, costs, strict=True))
        return [
            _sum(
                of,
                [
                    known[kinds, replace(option, first_layer=0, end_layer=0)]
                    for kinds, _ in of.weights
                ],
            )
            for option, of in zip(options, parts, strict=True)
        ]

    def ask(
        self,
        modules: Iterable[StageModule],
        options: Sequence[StageOption],
        limit: int,
        target_gap: float,
        title: str,
        work_limits: Sequence[int | None] | None = None,
    ) -> list[StageCost | None]:
        """The modules, each sharded as its option says, to fit into `limit` bytes.

        Args:
          modules: each is taken when the answers to those before are being worked on.
          work_limits: of the solver for each; None leaves all to its patience.
        """
        method = self.method
        questions = (
            StageQuestion(
                text=module.text,
                key=module.key,
                mesh=option.mesh,
                cluster=self.cluster,
                num_microbatches=self.layered.num_microbatches,
                num_in_flight=option.num_in_flight,
                strategy_space=method.strategy_space,
                memory_limit_bytes=limit,
                byte_price=option.byte_price,
                time_limit_seconds=method.time_limit_seconds,
                target_gap=target_gap,
                work_limit=work_limit,
            )
            for module, option, work_limit in zip(
                modules, options, work_limits or [None] * len(options), strict=True
            )
        )
        title = f"{self.layered.num_microbatches} microbatches, {title}"
        with self.stopwatch("shard stages"):
            return self.table.costs(questions, len(options), title)

    def _cut(self, ranges: Iterable[tuple[Kinds, StageOption]]) -> Iterator[StageModule]:
        for kinds, option in ranges:
            with self.stopwatch("extract stages"):
                module = self._modules.get(_shape(kinds, option))
                _ = module.text, module.key
            yield module


def _way(option: StageOption) -> StageOption:
    """How it runs its layers, whichever these are, but for microbatches in flight."""
    return replace(option, first_layer=0, end_layer=0, num_in_flight=1, byte_price=0.0)


def _shape(kinds: Kinds, option: StageOption) -> RangeShape:
    return RangeShape(kinds, option.is_rematerialized)


def _sum(parts: Parts, costs: Sequence[StageCost | None]) -> StageCost | None:
    """The weighted sum; None where a part is not known."""
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    if parts.is_whole:
        return known[0]
    weights = [weight for _, weight in parts.weights]

    def add(name: str) -> float:
        return max(0.0, sum(w * getattr(c, name) for w, c in zip(weights, known, strict=True)))

    return StageCost(
        choices=(),
        forward_seconds=add("forward_seconds"),
        backward_seconds=add("backward_seconds"),
        update_seconds=add("update_seconds"),
        resident_bytes=round(add("resident_bytes")),
        activation_bytes=round(add("activation_bytes")),
        update_bytes=round(add("update_bytes")),
        cost=round(add("cost")),
        lower_bound=0,
        is_cut_off=any(cost.is_cut_off for cost in known),
    )
