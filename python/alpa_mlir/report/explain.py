"""`Plan.explain()`: the plan as tables a person can read in a terminal."""

import re
from collections.abc import Callable, Collection, Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from alpa_mlir.cost.headroom import has_headroom, scheduler_options
from alpa_mlir.ir.spec import Spec
from alpa_mlir.plan.data import PlanData, PlannedCollective, PlannedTransfer, TensorPlan
from alpa_mlir.report.known_error import known_error
from alpa_mlir.simulate.drawing import to_text
from alpa_mlir.simulate.planned import planned_timeline
from alpa_mlir.units import format_bytes, format_range, format_seconds

_WIDTH = 130
_NUMBERS = frozenset(
    ["per device", "runs", "bytes", "time", "forward", "update", "in flight", "gap", "behind"]
)


def explain(plan: PlanData) -> str:
    """The plan as tables."""
    parts: list[str | Table] = [_summary(plan)]
    if plan.is_pipeline:
        timeline = to_text(planned_timeline(plan), _WIDTH)
        parts += [_stages(plan), timeline, _transfers(plan)]
    parts.append(_tensors("arguments", plan.arguments))
    parts.append(_tensors("results", [r for r in plan.results if r.role == "result"]))
    parts.append(_collectives(plan.collectives))
    if plan.alternatives:
        parts.append(_alternatives(plan))
    parts.append(_known_error())
    return print_all(*parts, *(f"remark: {remark}" for remark in plan.remarks))


def print_all(*parts: str | Table) -> str:
    """Texts and tables below one another."""
    console = Console(
        file=StringIO(),
        width=_WIDTH,
        color_system=None,
        markup=False,  # names are anybody's: what looks like markup is theirs
        emoji=False,
        highlight=False,
    )
    for part in parts:
        console.print(part)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def _summary(plan: PlanData) -> str:
    is_proven = plan.solver_gap < 1e-6  # costs are integers, the bound is not
    bound = "proven optimal" if is_proven else f"within {plan.solver_gap:.2%} of optimal"
    limit = plan.cluster.device.memory_bytes
    how = f"mesh {plan.mesh}"
    if plan.is_pipeline:
        how = (
            f"{len(plan.stages)} stages of {plan.num_layers} layers, schedule {plan.schedule}, "
            f"{plan.num_microbatches} microbatches"
        )
    return (
        f"{plan.program_name}: {plan.method} on {plan.cluster.num_devices} x "
        f"{plan.cluster.device.kind}, {how}\n"
        f"predicted: {plan.step_seconds * 1e3:.3f} ms a step ({bound}), "
        f"{format_bytes(plan.memory_bytes)} of {format_bytes(limit)} per device"
        f"{_headroom(plan)}"
    )


def _known_error() -> str:
    """How far predictions were off when somebody last looked."""
    known = known_error()
    what = {"collectives": known.collectives, "memory": known.memory, "seconds": known.seconds}
    lines = [
        f"  {name:12}{of.mean:6.1%} {of.worst:6.1%}  {of.count} {of.against}, {of.date}"
        for name, of in what.items()
    ]
    return "\n".join(["the model's last known error, on average and at most:", *lines])


def _headroom(plan: PlanData) -> str:
    """What GPUs' compilers do about memory that a plan does not need."""
    device = plan.cluster.device
    if has_headroom(device, plan.memory_bytes):
        return " needed; XLA may use more of it to overlap collectives"
    is_kept = bool(scheduler_options(device, plan.memory_bytes))
    return " needed; XLA is kept from using more" if is_kept else ""


def _stages(plan: PlanData) -> Table:
    columns = ("stage", "layers", "devices", "mesh", "forward", "backward", "update")
    table = make_table(
        "stages, times of one microbatch", *columns, "in flight", "per device", "gap"
    )
    for number, stage in enumerate(plan.stages):
        again = ", forward again" if stage.is_rematerialized else ""
        table.add_row(
            str(number),
            format_range(stage.layers),
            format_range(stage.devices),
            str(stage.mesh),
            format_seconds(stage.forward_seconds),
            format_seconds(stage.backward_seconds) + again,
            format_seconds(stage.update_seconds),
            str(stage.num_in_flight),
            format_bytes(stage.memory_bytes),
            f"{stage.gap:.2%}",
        )
    return table


def _alternatives(plan: PlanData) -> Table:
    table = make_table("alternatives", "instead", "time", "behind")
    for each in plan.alternatives:
        behind = f"{each.step_seconds / plan.step_seconds - 1:.1%}"
        table.add_row(each.name, format_seconds(each.step_seconds), behind)
    return table


def _transfers(plan: PlanData) -> Table:
    table = make_table("transfers between stages", "from", "to", "values", "runs", "bytes")
    groups: dict[tuple[int, int, int], list[PlannedTransfer]] = {}
    for transfer in plan.transfers:
        groups.setdefault((transfer.source, transfer.target, transfer.count), []).append(transfer)
    for (source, target, count), group in groups.items():
        names = ", ".join(transfer.value for transfer in group[:4])
        more = f" and {len(group) - 4} more" if len(group) > 4 else ""
        num_bytes = sum(transfer.bytes for transfer in group) * count
        table.add_row(str(source), str(target), names + more, str(count), format_bytes(num_bytes))
    if not groups:
        table.add_row("none", "", "", "", "")
    return table


def _tensors(title: str, tensors: Sequence[TensorPlan]) -> Table:
    table = make_table(title, "tensor", "type", "lies as", "because", "per device")
    for name, group in _grouped(tensors, _alike):
        first = group[0]
        count = f" x {len(group)}" if len(group) > 1 else ""
        kind = f"{first.dtype}[{','.join(map(str, first.shape))}]"
        size = sum(tensor.bytes_per_device for tensor in group)
        row = (name, kind + count, format_spec(first.spec), _because(first), format_bytes(size))
        table.add_row(*row)
    return table


def _because(tensor: TensorPlan) -> str:
    where = f" on stage {tensor.stage}" if tensor.stage else ""
    return f"{tensor.role}{where}: {tensor.reason}" if tensor.reason else tensor.role + where


def _alike(tensor: TensorPlan) -> tuple[object, ...]:
    """Tensors of repeated layers share a row: equal but for the numbers in their names."""
    name = re.sub(r"\d+", "*", tensor.name)
    return (name, tensor.role, tensor.dtype, tensor.shape, tensor.spec, tensor.reason, tensor.stage)


def _grouped(
    tensors: Sequence[TensorPlan], key: Callable[[TensorPlan], tuple[object, ...]]
) -> list[tuple[str, list[TensorPlan]]]:
    groups: dict[tuple[object, ...], list[TensorPlan]] = {}
    for tensor in tensors:
        groups.setdefault(key(tensor), []).append(tensor)
    return [(str(k[0]) if len(group) > 1 else group[0].name, group) for k, group in groups.items()]


def _collectives(collectives: Sequence[PlannedCollective]) -> Table:
    table = make_table(
        "predicted collectives", "kind", "over", "runs", "bytes", "time", "needed by"
    )
    groups: dict[tuple[str, tuple[str, ...], str], list[PlannedCollective]] = {}
    for c in collectives:
        groups.setdefault((c.kind, c.axes, f"{c.op_name}: {c.reason}"), []).append(c)
    largest_first = sorted(groups.items(), key=lambda item: -sum(c.seconds for c in item[1]))
    for (kind, axes, reason), group in largest_first:
        table.add_row(
            kind,
            " ".join(axes),
            f"{sum(c.count for c in group):g}",
            format_bytes(sum(c.bytes * c.count for c in group)),
            f"{sum(c.seconds for c in group) * 1e6:.1f} us",
            reason,
        )
    if not collectives:
        table.add_row("none", "", "", "", "", "")
    return table


def make_table(title: str, *columns: str, numbers: Collection[str] = _NUMBERS) -> Table:
    """An empty table; columns of numbers are set to the right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify = "right" if column in numbers else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return table


def format_spec(spec: Spec) -> str:
    """`[x, -, yz]`: the axes of each dim; "replicated" where there are none."""
    if not any(spec):
        return "replicated"
    return "[" + ", ".join("".join(axes) or "-" for axes in spec) + "]"
