"""`Plan.compare`: what differs between two plans, part by part, and what each difference costs.

Costs are those of the second plan less those of the first: seconds of a step on a device, on
average over the devices of each plan, and bytes on a device. Plans keep seconds by stage and by
collective, so a tensor that lies otherwise has a price in bytes, and an op that runs otherwise one
in the collectives it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any, cast

from rich.table import Table

from alpa_mlir.cluster import Cluster
from alpa_mlir.plan.data import PlanData, PlannedStage, TensorPlan
from alpa_mlir.report.blocks import blocks_of
from alpa_mlir.report.breakdown import breakdown
from alpa_mlir.report.explain import format_spec, make_table, print_all
from alpa_mlir.units import format_bytes, format_numbered, format_seconds, format_share

_NOTHING = "-"
_MOST_NAMES = 3  # of tensors in a row
_MOST_ROWS = 40  # of a table; what costs most comes first


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Attributes:
      seconds, num_bytes: how much more it is in the second plan; None where it has no such price.
    """

    what: str
    first: str
    second: str
    seconds: float | None = None
    num_bytes: int | None = None


@dataclass(frozen=True)
class PlanComparison:
    """Two plans beside each other.

    Attributes:
      step_seconds, memory_bytes: of the first and of the second.
      settings: of plan and cluster. time: where it goes. layers: on which stages they run.
      tensors: that lie otherwise, by part of the model. ops: that run otherwise, where both plans
        are one program of the same module. collectives: by kind and by what needs them.
    """

    step_seconds: tuple[float, float]
    memory_bytes: tuple[int, int]
    settings: tuple[Difference, ...]
    time: tuple[Difference, ...]
    layers: tuple[Difference, ...]
    tensors: tuple[Difference, ...]
    ops: tuple[Difference, ...]
    collectives: tuple[Difference, ...]

    @property
    def sections(self) -> Mapping[str, tuple[Difference, ...]]:
        """The differences by what they are of."""
        return {
            "settings": self.settings,
            "time": self.time,
            "layers": self.layers,
            "tensors": self.tensors,
            "ops": self.ops,
            "collectives": self.collectives,
        }

    @property
    def is_same(self) -> bool:
        """Whether nothing differs that this looks at."""
        return not any(self.sections.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        """As tables, for a terminal."""
        if self.is_same:
            return "the plans are the same"
        tables = [_table(title, rows) for title, rows in self.sections.items() if rows]
        return print_all(_headline(self), *tables)


def _headline(found: PlanComparison) -> str:
    seconds, memory = found.step_seconds, found.memory_bytes
    change = f" ({seconds[1] / seconds[0] - 1:+.1%})" if seconds[0] else ""
    return (
        f"a step: {format_seconds(seconds[0])} and {format_seconds(seconds[1])}{change}; "
        f"memory per device: {format_bytes(memory[0])} and {format_bytes(memory[1])}"
    )


def _table(title: str, rows: Sequence[Difference]) -> Table:
    has_seconds = any(row.seconds is not None for row in rows)
    has_bytes = any(row.num_bytes is not None for row in rows)
    costs = [name for name, has in (("time", has_seconds), ("bytes", has_bytes)) if has]
    table = make_table(title, "", "first", "second", *costs)
    for row in rows[:_MOST_ROWS]:
        cells = [row.what, row.first, row.second]
        if has_seconds:
            cells.append("" if row.seconds is None else _signed(row.seconds, format_seconds))
        if has_bytes:
            cells.append("" if row.num_bytes is None else _signed(row.num_bytes, format_bytes))
        table.add_row(*cells)
    if len(rows) > _MOST_ROWS:
        table.add_row(f"and {len(rows) - _MOST_ROWS} more (--json has all)", *[""] * 2)
    return table


def _signed(value: float, form: Callable[[float], str]) -> str:
    return f"{'-' if value < 0 else '+'}{form(abs(value))}" if value else "0"


def compare(first: PlanData, second: PlanData) -> PlanComparison:
    """What differs; see the module."""
    plans = (first, second)
    return PlanComparison(
        step_seconds=(first.step_seconds, second.step_seconds),
        memory_bytes=(first.memory_bytes, second.memory_bytes),
        settings=tuple(_settings(*plans)),
        time=tuple(_time(*plans)),
        layers=tuple(_layers(*plans)),
        tensors=tuple(_tensors(*plans)),
        ops=tuple(_ops(*plans)),
        collectives=tuple(_collectives(*plans)),
    )


def _settings(first: PlanData, second: PlanData) -> Iterator[Difference]:
    shown: dict[str, Callable[[PlanData], object]] = {
        "program": lambda plan: plan.program_name,
        "module": lambda plan: plan.program_hash[:12],
        "method": lambda plan: plan.method,
        "strategies": lambda plan: plan.strategy_space,
        "cluster": lambda plan: plan.cluster.name,
        "devices": lambda plan: _devices(plan.cluster),
        "stages": lambda plan: len(plan.stages),
        "layers": lambda plan: plan.num_layers,
        "schedule": lambda plan: plan.schedule,
        "microbatches": lambda plan: plan.num_microbatches,
        "made with": lambda plan: plan.versions,
    }
    for what, of in shown.items():
        sides = str(of(first)), str(of(second))
        if sides[0] != sides[1]:
            yield Difference(what, *sides)
    figures = [dict(_figures(plan.cluster)) for plan in (first, second)]
    for what in _in_order(*figures):
        one, other = (of.get(what, _NOTHING) for of in figures)
        if one != other:
            yield Difference(what, str(one), str(other))
    prices = [plan.cluster.device.efficiency for plan in (first, second)]
    if prices[0] != prices[1]:
        one, other = ("peaks" if each is None else each.source for each in prices)
        yield Difference("device.efficiency", one, other if one != other else "other curves of it")


def _devices(cluster: Cluster) -> str:
    nodes = f"{cluster.num_nodes} x " if cluster.num_nodes > 1 else ""
    return f"{nodes}{cluster.devices_per_node} x {cluster.device.kind}"


def _figures(cluster: Cluster) -> Iterator[tuple[str, object]]:
    """What devices and links are said to do, but for curves, by the names of the fields."""
    for name in ("device", "intra_node", "inter_node"):
        part = getattr(cluster, name)
        for each in fields(part):
            value = getattr(part, each.name)
            if isinstance(value, Mapping):
                rates = cast(Mapping[str, object], value)
                yield from ((f"{name}.{each.name}.{key}", rate) for key, rate in rates.items())
            elif each.name not in ("kind", "efficiency"):
                yield f"{name}.{each.name}", value


def _time(first: PlanData, second: PlanData) -> Iterator[Difference]:
    sides = [dict(breakdown(plan).mean.items()) for plan in (first, second)]
    for what in _in_order(*sides):
        seconds = [side.get(what, 0.0) for side in sides]
        if seconds[0] != seconds[1]:
            texts = [
                f"{format_seconds(spent)} ({format_share(spent, plan.step_seconds)})"
                for spent, plan in zip(seconds, (first, second), strict=True)
            ]
            yield Difference(what, *texts, seconds=seconds[1] - seconds[0])


# --- Layers on stages ---


def _layers(first: PlanData, second: PlanData) -> Iterator[Difference]:
    """Ranges of layers that run on one stage in each plan, where these stages differ."""
    if first.num_layers != second.num_layers:
        return
    homes = [
        [number for number, stage in enumerate(plan.stages) for _ in stage.layers]
        for plan in (first, second)
    ]
    pairs = list(zip(*homes, strict=True))
    for (one, other), group in groupby(range(len(pairs)), key=lambda layer: pairs[layer]):
        layers = list(group)
        stages = first.stages[one], second.stages[other]
        if _placed(stages[0]) == _placed(stages[1]):
            continue
        name = format_numbered("layer", range(layers[0], layers[-1] + 1))
        is_whole = all(len(layers) == len(stage.layers) for stage in stages)
        seconds = first.busy_seconds(one), second.busy_seconds(other)
        yield Difference(
            name,
            f"stage {one}: {_stage_text(stages[0])}",
            f"stage {other}: {_stage_text(stages[1])}",
            seconds=seconds[1] - seconds[0] if is_whole else None,  # a part of a stage has no price
            num_bytes=stages[1].memory_bytes - stages[0].memory_bytes,
        )


def _placed(stage: PlannedStage) -> tuple[object, ...]:
    return (stage.layers, stage.devices, stage.mesh, stage.is_rematerialized)


def _stage_text(stage: PlannedStage) -> str:
    again = ", forward again" if stage.is_rematerialized else ""
    return f"{format_numbered('device', stage.devices)}, {stage.mesh}{again}"


# --- Tensors ---


def _tensors(first: PlanData, second: PlanData) -> Iterator[Difference]:
    """Tensors that lie otherwise, alike ones of a part of the model together."""
    sides = [{tensor.name: tensor for tensor in plan.arguments} for plan in (first, second)]
    places = {**_places(second), **_places(first)}
    changed: dict[tuple[str, str, str], list[str]] = {}
    for name in _in_order(places):
        one, other = (_lies(side.get(name)) for side in sides)
        if one != other:
            changed.setdefault((places[name][0], one, other), []).append(name)
    for (block, one, other), names in changed.items():
        parts = _in_order(places[name][1] for name in names)
        num_bytes = [
            sum(side[name].bytes_per_device for name in names if name in side) for side in sides
        ]
        yield Difference(
            f"{block}: {', '.join(parts[:_MOST_NAMES])}"
            + (f" and {len(parts) - _MOST_NAMES} more" if len(parts) > _MOST_NAMES else ""),
            one,
            other,
            num_bytes=num_bytes[1] - num_bytes[0],
        )


def _places(plan: PlanData) -> dict[str, tuple[str, str]]:
    """Of every argument, in the order of blocks, its block and its name within that."""
    return {
        tensor.name: (block.name, part)
        for block in blocks_of(plan.arguments)
        for tensor, part in zip(block.tensors, block.parts, strict=True)
    }


def _lies(tensor: TensorPlan | None) -> str:
    if tensor is None:
        return _NOTHING
    where = "" if tensor.stage is None else f" on stage {tensor.stage}"
    return format_spec(tensor.spec) + where


# --- Ops and collectives ---


def _ops(first: PlanData, second: PlanData) -> Iterator[Difference]:
    """Ops of one module that run otherwise, those of one kind and change together."""
    if first.is_pipeline or second.is_pipeline or first.program_hash != second.program_hash:
        return
    sides = [{c.op_id: c for c in plan.choices if c.op_id >= 0} for plan in (first, second)]
    seconds = [_seconds_by_op(plan) for plan in (first, second)]
    changed: dict[tuple[str, str, str], list[int]] = {}
    for op_id in _in_order(*sides):
        pair = [side.get(op_id) for side in sides]
        strategies = [choice.strategy if choice else _NOTHING for choice in pair]
        if strategies[0] != strategies[1]:
            node = next(choice.node for choice in pair if choice)
            changed.setdefault((node, strategies[0], strategies[1]), []).append(op_id)
    found = [
        Difference(
            f"{node} x {len(ops)}" if len(ops) > 1 else node,
            one,
            other,
            seconds=sum(seconds[1].get(op, 0.0) - seconds[0].get(op, 0.0) for op in ops),
        )
        for (node, one, other), ops in changed.items()
    ]
    yield from sorted(found, key=lambda each: -abs(each.seconds or 0.0))


def _seconds_by_op(plan: PlanData) -> dict[int, float]:
    seconds: dict[int, float] = {}
    for each in plan.collectives:
        seconds[each.op_id] = seconds.get(each.op_id, 0.0) + each.seconds
    return seconds


def _collectives(first: PlanData, second: PlanData) -> Iterator[Difference]:
    """By kind, axes and what needs them; the largest difference first."""
    sides = [_collectives_by_reason(plan) for plan in (first, second)]
    nothing = _Collectives()
    found: list[Difference] = []
    for what in _in_order(*sides):
        one, other = (side.get(what, nothing) for side in sides)
        if one != other:
            found.append(
                Difference(
                    what,
                    str(one),
                    str(other),
                    seconds=other.seconds - one.seconds,
                    num_bytes=round(other.num_bytes - one.num_bytes),
                )
            )
    yield from sorted(found, key=lambda each: -abs(each.seconds or 0.0))


@dataclass(frozen=True)
class _Collectives:
    """Of a device of a plan, on average."""

    num_runs: float = 0.0
    num_bytes: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.num_runs:
            return _NOTHING
        return "1 run" if self.num_runs == 1 else f"{self.num_runs:g} runs"


def _collectives_by_reason(plan: PlanData) -> dict[str, _Collectives]:
    num_devices = sum(len(stage.devices) for stage in plan.stages)
    found: dict[str, _Collectives] = {}
    for number, stage in enumerate(plan.stages):
        weight = len(stage.devices) / num_devices
        for each in plan.collectives_of(number):
            what = f"{each.kind} over {' '.join(each.axes)}, {each.op_name}: {each.reason}"
            before = found.get(what, _Collectives())
            found[what] = _Collectives(
                before.num_runs + each.count * weight,
                before.num_bytes + each.bytes * each.count * weight,
                before.seconds + each.seconds * weight,
            )
    return found


def _in_order(*sides: Iterable[Any]) -> list[Any]:
    """The keys of all, each once, in the order in which they come."""
    return list(dict.fromkeys(key for side in sides for key in side))
