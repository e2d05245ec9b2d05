"""How plans show themselves in notebooks: static HTML, since those may not run scripts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from alpa_mlir.plan.data import PlanData, PlannedStage
from alpa_mlir.report.breakdown import breakdown
from alpa_mlir.units import format_bytes, format_range, format_seconds

_COLORS = ("#5b86b8", "#d9773f", "#e3a857", "#c4574d", "#b884b0", "#8f7ac0", "#6a9c95", "#a9a9a3")
_HEADS = ("stage", "layers", "devices", "mesh", "forward", "backward", "update", "memory")


def to_html(plan: PlanData) -> str:
    """A headline, where the time goes as a bar, and a row for each stage."""
    cluster = plan.cluster
    how = f"mesh {plan.mesh}"
    if plan.is_pipeline:
        how = f"{len(plan.stages)} stages, {plan.schedule}, {plan.num_microbatches} microbatches"
    headline = (
        f"{plan.method} on {cluster.num_devices} x {cluster.device.kind}, {how}: "
        f"{format_seconds(plan.step_seconds)} a step, {format_bytes(plan.memory_bytes)} of "
        f"{format_bytes(cluster.device.memory_bytes)} per device"
    )
    rows = [_HEADS, *(_row(number, stage) for number, stage in enumerate(plan.stages))]
    return (
        f"<div><b>{escape(plan.program_name)}</b> {escape(headline)}{_bar(plan)}"
        f"<table>{''.join(map(_cells, rows))}</table></div>"
    )


def _row(number: int, stage: PlannedStage) -> tuple[str, ...]:
    return (
        str(number),
        format_range(stage.layers),
        format_range(stage.devices),
        str(stage.mesh),
        format_seconds(stage.forward_seconds),
        format_seconds(stage.backward_seconds),
        format_seconds(stage.update_seconds),
        format_bytes(stage.memory_bytes),
    )


def _cells(row: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"


def _bar(plan: PlanData) -> str:
    parts = [(name, seconds) for name, seconds in breakdown(plan).mean.items() if seconds > 0]
    total = sum(seconds for _, seconds in parts) or 1.0
    named = [
        (name, seconds / total, _COLORS[k % len(_COLORS)])
        for k, (name, seconds) in enumerate(parts)
    ]
    pieces = "".join(
        f'<span style="width:{share:.2%};background:{color}" title="{escape(name)} {share:.1%}">'
        "</span>"
        for name, share, color in named
    )
    words = ", ".join(f"{escape(name)} {share:.1%}" for name, share, _ in named)
    return (
        f'<div style="display:flex;height:12px;max-width:640px;margin:6px 0">{pieces}</div>'
        f"<div>{words}</div>"
    )
