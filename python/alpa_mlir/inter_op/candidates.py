"""The options that the stage DP chooses from, and how they become better known (see `search`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, log

from alpa_mlir._native import ScheduleKind, max_in_flight
from alpa_mlir.inter_op.kinds import longest_run, parts_of
from alpa_mlir.inter_op.options import StageOption, stage_options
from alpa_mlir.inter_op.range_costs import RangeCosts

# Prices of a byte are powers of it. Beside the one at which all memory costs what the stage does,
# lower ones where that makes a stage slow, higher ones where it does not fit.
_PRICE_STEP = 8.0
_LOWER_PRICES = (-2, -1)
_HIGHER_PRICES = (1, 2, 3)
# As a part of a stage's time: to save less, no further price is tried.
_LITTLE_TIME = 0.005
# As a part of a stage's time: what is no slower than that is wanted next.
_RIVAL_TIME = 0.02
# As a part of what stages need: if a higher price saves no more, no further one is tried.
_LITTLE_MEMORY = 0.02

_Frontier = Generator[list[StageOption], list[StageOption], None]


@dataclass
class Candidates:
    """What is known of the options of one step in layers.

    Attributes:
      schedules: that the pipeline may have.
      options: to choose from.
      costed: all that was ever found, to say what lacks where nothing fits.
    """

    ranges: RangeCosts
    submeshes: Sequence[tuple[int, int]]
    memory_limit_bytes: int
    schedules: Sequence[ScheduleKind]
    has_backward: bool
    options: list[StageOption] = field(default_factory=list[StageOption])
    costed: list[StageOption] = field(default_factory=list[StageOption])

    @cached_property
    def _usual_kind(self) -> int:
        return Counter(self.ranges.kinds).most_common(1)[0][0]

    def add_first(self) -> None:
        """Every option as if memory had no limit, those with unlike layers at their ends bare."""
        ranges = self.ranges
        every = list(
            stage_options(ranges.layered.num_layers, self.submeshes, ranges.method, ranges.cluster)
        )
        cores = [self._core(option) for option in every]
        for option, core, found in zip(every, cores, self._estimated(cores, "stages"), strict=True):
            if found is None:
                continue
            if core == option:
                self._admit(found)
            else:
                self.options.append(replace(option, cost=found.cost, is_bare=True))

    def complete(self, bare: Sequence[StageOption]) -> None:
        """Puts what they cost with their ends in the place of these, and of all on such submeshes:
        they are likely to be wanted next, and to choose again takes as long as to cost a few."""
        submeshes = {option.submesh for option in bare}
        wanted, self.options = _parted(self.options, lambda c: c.is_bare and c.submesh in submeshes)
        blank = [replace(option, cost=None, is_bare=False) for option in wanted]
        for option in self._estimated(blank, "stages with their ends"):
            if option is not None:
                self._admit(option)

    def _core(self, option: StageOption) -> StageOption:
        """Its layers of the kind that is most frequent in the model, where they are most of it."""
        kinds = self.ranges.kinds_of(option)
        run = longest_run(kinds, self._usual_kind)
        if len(set(kinds)) == 1 or 2 * len(run) < len(kinds):
            return option
        return replace(
            option,
            first_layer=option.first_layer + run.start,
            end_layer=option.first_layer + run.stop,
        )

    def _admit(self, option: StageOption) -> None:
        """As what it is where memory has room for it, as a stand-in for others where it has not."""
        if self._fits(option, 1):
            self.options.append(option)
        if not self._always_fits(option):
            self.options.append(replace(option, is_stand_in=True))

    def fit(self, stand_ins: Sequence[StageOption]) -> None:
        """Puts what fits in the place of stand-ins, and of those that differ in length alone, or in
        a mesh that is about as fast: they would be wanted next."""
        searches: list[_Frontier] = []
        for wanted in stand_ins:
            for other in [c for c in self.options if self._is_rival(c, wanted)]:
                name = self._family(other)
                family, self.options = _parted(
                    self.options, lambda c, name=name: c.is_stand_in and self._family(c) == name
                )
                if family:
                    searches.append(self._frontier(other, family))
        # What all of them ask is asked at once, so that there is work for all processes.
        asked = {search: next(search) for search in searches}
        while asked:
            every = [option for options in asked.values() for option in options]
            found = dict(zip(every, self._estimated(every, "stages that fit"), strict=True))
            for search, options in list(asked.items()):
                known = [option for option in map(found.get, options) if option is not None]
                self.options += [option for option in known if self._fits(option, 1)]
                try:
                    asked[search] = search.send(known)
                except StopIteration:
                    del asked[search]

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

    def _estimated(
        self, options: Sequence[StageOption], title: str
    ) -> Iterator[StageOption | None]:
        """With their costs; a price stands for a limit yet. None for what cannot be sharded."""
        for option, cost in zip(options, self.ranges.estimates(options, title), strict=True):
            if cost is None:
                yield None
                continue
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

    def _frontier(self, wanted: StageOption, family: Sequence[StageOption]) -> _Frontier:
        """Points of the frontiers of time and memory: of a price of memory at which most fit, and
        of others only where it costs time, or some do not fit whatever is in flight.

        Yields options to be costed, and takes those that can be sharded."""
        nodes, devices = self.submeshes[wanted.submesh]
        num_stages = self.ranges.cluster.num_devices // (nodes * devices)
        in_flight = min(num_stages // 2 + 1, self.ranges.layered.num_microbatches)
        # A round number, so that other ranges share what is sharded for it.
        usual = log(max(wanted.known_cost.cost / self.memory_limit_bytes, 1e-9), _PRICE_STEP)
        blank = replace(wanted, num_in_flight=in_flight, is_stand_in=False, cost=None)

        def at(steps: Sequence[int], is_rematerialized: bool) -> list[StageOption]:
            return [
                replace(
                    blank,
                    first_layer=option.first_layer,
                    end_layer=option.end_layer,
                    is_rematerialized=is_rematerialized,
                    byte_price=_PRICE_STEP ** (round(usual) + step),
                )
                for step in steps
                for option in family
            ]

        free = {(o.first_layer, o.end_layer): o.known_cost.seconds for o in family}

        def is_slow(option: StageOption) -> bool:
            least = free[option.first_layer, option.end_layer]
            return option.known_cost.seconds > (1 + _LITTLE_TIME) * least

        for is_rematerialized in self._ways():
            found = yield at([0], is_rematerialized)
            if any(map(is_slow, found)) and not is_rematerialized:
                yield at(_LOWER_PRICES, is_rematerialized)
            most = inf
            for step in _HIGHER_PRICES:
                if all(map(self._always_fits, found)):
                    return
                needed = sum(option.known_cost.memory_bytes(in_flight) for option in found)
                if needed > (1 - _LITTLE_MEMORY) * most:  # no price makes it less
                    break
                most = needed
                found = yield at([step], is_rematerialized)

    def _always_fits(self, option: StageOption) -> bool:
        """Whether with as many microbatches in flight as there are where all other stages are
        small and behind it, under the schedule that is easiest on memory."""
        sizes = [nodes * devices for nodes, devices in self.submeshes]
        others = self.ranges.cluster.num_devices - sizes[option.submesh]
        num_stages = 1 + others // min(sizes)
        m = self.ranges.layered.num_microbatches
        in_flight = min(max_in_flight(kind, num_stages, m) for kind in self.schedules)
        return self._fits(option, in_flight)

    def _fits(self, option: StageOption, num_in_flight: int) -> bool:
        return option.known_cost.memory_bytes(num_in_flight) <= self.memory_limit_bytes

    def _family(self, option: StageOption) -> Hashable:
        """Equal for options that differ in nothing but how often layers repeat."""
        return option.submesh, option.mesh, parts_of(self.ranges.kinds_of(option)).shapes

    def _is_rival(self, option: StageOption, wanted: StageOption) -> bool:
        """Whether it stands in for the same layers on the same devices, and is about as fast."""
        return (
            option.is_stand_in
            and (option.first_layer, option.end_layer, option.submesh)
            == (wanted.first_layer, wanted.end_layer, wanted.submesh)
            and option.known_cost.seconds <= (1 + _RIVAL_TIME) * wanted.known_cost.seconds
        )

    def _is_same(self, option: StageOption, other: StageOption) -> bool:
        """Whether they run layers that do the same in the same way."""
        return (option.submesh, option.mesh, option.is_rematerialized) == (
            other.submesh,
            other.mesh,
            other.is_rematerialized,
        ) and self.ranges.kinds_of(option) == self.ranges.kinds_of(other)


def _parted(
    options: Sequence[StageOption], is_wanted: Callable[[StageOption], bool]
) -> tuple[list[StageOption], list[StageOption]]:
    """Those that are wanted, and the others."""
    wanted = [is_wanted(option) for option in options]
    return (
        [option for option, is_one in zip(options, wanted, strict=True) if is_one],
        [option for option, is_one in zip(options, wanted, strict=True) if not is_one],
    )
