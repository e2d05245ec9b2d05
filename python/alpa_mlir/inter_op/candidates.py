"""The options that the stage DP chooses from, and how they become better known (see `search`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import log

from alpa_mlir.inter_op.kinds import parts_of
from alpa_mlir.inter_op.options import StageOption, stage_options
from alpa_mlir.inter_op.range_costs import RangeCosts

# Prices of a byte that are tried, each so many times the one before.
_PRICE_STEP = 8.0
_PRICES_AT_ONCE = 3
_MOST_ROUNDS = 2


@dataclass
class Candidates:
    """What is known of the options of one step in layers.

    Attributes:
      most_in_flight: microbatches that any stage may have to hold.
      options: to choose from.
      costed: all that was ever found, to say what lacks where nothing fits.
    """

    ranges: RangeCosts
    submeshes: Sequence[tuple[int, int]]
    memory_limit_bytes: int
    most_in_flight: int
    has_backward: bool
    options: list[StageOption] = field(default_factory=list[StageOption])
    costed: list[StageOption] = field(default_factory=list[StageOption])

    def add_first(self) -> None:
        """Every option as if memory had no limit; those that it stands in for if it has one."""
        ranges = self.ranges
        every = stage_options(
            ranges.layered.num_layers, self.submeshes, ranges.method, ranges.cluster
        )
        for option in self._estimated(list(every), "stages"):
            if self._fits(option, 1):
                self.options.append(option)
            if not self._fits(option, self.most_in_flight):
                self.options.append(replace(option, is_stand_in=True))

    def fit(self, stand_ins: Sequence[StageOption]) -> None:
        """Puts what fits in the place of stand-ins, and of those that differ in length alone."""
        for wanted in stand_ins:
            family = [c for c in self.options if c.is_stand_in and self._is_of_family(c, wanted)]
            self.options = [c for c in self.options if c not in family]
            if family:
                self._add_frontier(wanted, family)

    def settle(self, estimates: Sequence[tuple[StageOption, int]]) -> None:
        """Shards these options whole, each to hold so many microbatches, and puts them in the place
        of what was estimated of the same layers and promises more."""
        asked = [
            replace(option, num_in_flight=held, cost=None, is_estimate=False)
            for option, held in estimates
        ]
        costs = self.ranges.whole(asked, self.memory_limit_bytes, "stages of the plan")
        for (estimate, held), option, cost in zip(estimates, asked, costs, strict=True):
            same = [c for c in self.options if c.is_estimate and self._is_same(c, estimate)]
            seconds = (cost or estimate.known_cost).seconds
            broken = [c for c in same if c.known_cost.seconds <= seconds and self._fits(c, held)]
            self.options = [c for c in self.options if c not in broken and c is not estimate]
            if cost is not None:
                for first, end in sorted({(c.first_layer, c.end_layer) for c in [estimate, *same]}):
                    self._add(replace(option, first_layer=first, end_layer=end, cost=cost))

    def _add(self, option: StageOption) -> None:
        self.costed.append(option)
        self.options.append(option)

    def _estimated(self, options: Sequence[StageOption], title: str) -> Iterator[StageOption]:
        """Those that can be sharded at all, with their costs; a price stands for a limit yet."""
        for option, cost in zip(options, self.ranges.estimates(options, title), strict=True):
            if cost is not None:
                is_whole = parts_of(self.ranges.kinds_of(option)).is_whole
                is_estimate = not is_whole or option.byte_price > 0
                self.costed.append(replace(option, cost=cost, is_estimate=is_estimate))
                yield self.costed[-1]

    def _ways(self) -> list[bool]:
        """Whether to rematerialize."""
        asked = self.ranges.method.rematerialize
        if asked == "auto":
            return [False, True] if self.has_backward else [False]
        return [asked]

    def _add_frontier(self, wanted: StageOption, family: Sequence[StageOption]) -> None:
        """Points of the frontiers of time and memory, until all fit whatever is in flight."""
        nodes, devices = self.submeshes[wanted.submesh]
        num_stages = self.ranges.cluster.num_devices // (nodes * devices)
        in_flight = min(num_stages // 2 + 1, self.ranges.layered.num_microbatches)
        # A round number, so that other ranges share what is sharded for it.
        lowest = wanted.known_cost.cost / self.memory_limit_bytes / _PRICE_STEP**2
        price = _PRICE_STEP ** round(log(max(lowest, 1e-9), _PRICE_STEP))
        blank = replace(wanted, num_in_flight=in_flight, is_stand_in=False, cost=None)
        for _ in range(_MOST_ROUNDS):
            prices = [price * _PRICE_STEP**k for k in range(_PRICES_AT_ONCE)]
            asked = [
                replace(
                    blank,
                    first_layer=option.first_layer,
                    end_layer=option.end_layer,
                    is_rematerialized=is_rematerialized,
                    byte_price=each,
                )
                for option in family
                for is_rematerialized in self._ways()
                for each in prices
            ]
            found = list(self._estimated(asked, "stages that fit"))
            self.options += [each for each in found if self._fits(each, 1)]
            dearest = [each for each in found if each.byte_price == prices[-1]]
            if all(self._fits(each, self.most_in_flight) for each in dearest):
                break
            price *= _PRICE_STEP**_PRICES_AT_ONCE

    def _fits(self, option: StageOption, num_in_flight: int) -> bool:
        return option.known_cost.memory_bytes(num_in_flight) <= self.memory_limit_bytes

    def _is_of_family(self, option: StageOption, other: StageOption) -> bool:
        """Whether they differ in nothing but how often layers repeat."""
        return (option.submesh, option.mesh) == (other.submesh, other.mesh) and parts_of(
            self.ranges.kinds_of(option)
        ).shapes == parts_of(self.ranges.kinds_of(other)).shapes

    def _is_same(self, option: StageOption, other: StageOption) -> bool:
        """Whether they run layers that do the same in the same way."""
        return (option.submesh, option.mesh, option.is_rematerialized) == (
            other.submesh,
            other.mesh,
            other.is_rematerialized,
        ) and self.ranges.kinds_of(option) == self.ranges.kinds_of(other)
