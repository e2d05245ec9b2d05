"""`Plan.explain()`: the plan as tables a person can read in a terminal."""

import re
from collections.abc import Callable, Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alpa_mlir.cluster.spec import Spec
from alpa_mlir.plan import Plan, PlannedCollective, TensorPlan

_WIDTH = 130


def explain(plan: Plan) -> str:
    console = Console(file=StringIO(), width=_WIDTH, color_system=None)
    console.print(_summary(plan))
    console.print(_tensors("arguments", plan.arguments))
    console.print(_tensors("results", [r for r in plan.results if r.role == "result"]))
    console.print(_collectives(plan.collectives))
    for remark in plan.remarks:
        console.print(f"remark: {remark}", markup=False)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def _summary(plan: Plan) -> str:
    is_proven = plan.solver_gap < 1e-6  # costs are integers, the bound is not
    bound = "proven optimal" if is_proven else f"within {plan.solver_gap:.2%} of optimal"
    limit = plan.cluster.device.memory_bytes
    return (
        f"{plan.program_name}: {plan.method} on {plan.cluster.num_devices} x "
        f"{plan.cluster.device.kind}, mesh {plan.mesh}\n"
        f"predicted: {plan.step_seconds * 1e3:.3f} ms a step ({bound}), "
        f"{format_bytes(plan.memory_bytes)} of {format_bytes(limit)} per device"
    )


def _tensors(title: str, tensors: Sequence[TensorPlan]) -> Table:
    table = _table(title, "tensor", "type", "lies as", "because", "per device")
    for name, group in _grouped(tensors, _alike):
        first = group[0]
        count = f" x {len(group)}" if len(group) > 1 else ""
        kind = f"{first.dtype}[{','.join(map(str, first.shape))}]"
        size = sum(tensor.bytes_per_device for tensor in group)
        row = (name, kind + count, format_spec(first.spec), _because(first), format_bytes(size))
        table.add_row(*(escape(cell) for cell in row))
    return table


def _because(tensor: TensorPlan) -> str:
    return f"{tensor.role}: {tensor.reason}" if tensor.reason else tensor.role


def _alike(tensor: TensorPlan) -> tuple[object, ...]:
    """Tensors of repeated layers share a row: equal but for the numbers in their names."""
    name = re.sub(r"\d+", "*", tensor.name)
    return (name, tensor.role, tensor.dtype, tensor.shape, tensor.spec, tensor.reason)


def _grouped(
    tensors: Sequence[TensorPlan], key: Callable[[TensorPlan], tuple[object, ...]]
) -> list[tuple[str, list[TensorPlan]]]:
    groups: dict[tuple[object, ...], list[TensorPlan]] = {}
    for tensor in tensors:
        groups.setdefault(key(tensor), []).append(tensor)
    return [(str(k[0]) if len(group) > 1 else group[0].name, group) for k, group in groups.items()]


def _collectives(collectives: Sequence[PlannedCollective]) -> Table:
    table = _table("predicted collectives", "kind", "over", "runs", "bytes", "time", "needed by")
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
            escape(reason),
        )
    if not collectives:
        table.add_row("none", "", "", "", "", "")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify = "right" if column in ("per device", "runs", "bytes", "time") else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return table


def format_spec(spec: Spec) -> str:
    """`[x, -, yz]`: the axes of each dim; "replicated" where there are none."""
    if not any(spec):
        return "replicated"
    return "[" + ", ".join("".join(axes) or "-" for axes in spec) + "]"


def format_bytes(count: float) -> str:
    """Three digits and a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
