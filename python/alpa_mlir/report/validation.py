"""A validation as tables a person can read in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from alpa_mlir.report.explain import make_table, print_all
from alpa_mlir.units import format_bytes
from alpa_mlir.xla.comparison import CollectiveTotals, Validation

_TEXTS = {"stage", "kind", "over"}


def explain_validation(found: Validation) -> str:
    unmatched = [
        f"{each.kind} over {each.axes}: {line}"
        for each in found.collectives
        for line in each.unmatched
    ]
    warnings = [f"XLA: {warning}" for warning in found.warnings]
    tables = _collectives(found.collectives), _memory(found)
    return print_all(_summary(found), *tables, *unmatched, *warnings)


def _summary(found: Validation) -> str:
    programs = _counted(found.num_programs, "program")
    warnings = _counted(len(found.warnings), "warning") if found.warnings else "no warning"
    return (
        f"{found.program_name}: {found.method} on {found.num_devices} x {found.device_kind}, "
        f"{programs} compiled in {found.seconds:.0f} s by {found.compiler}\n"
        f"predicted against actual: collectives {found.collective_error:+.1%} in bytes, "
        f"peak memory {found.memory_error:+.1%}; {warnings}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _collectives(collectives: Sequence[CollectiveTotals]) -> Table:
    columns = ("stage", "kind", "over", "predicted", "actual", "off", "runs predicted", "runs")
    table = _table("collectives, bytes per device and step", *columns)
    for each in collectives:
        table.add_row(
            str(each.stage),
            each.kind,
            each.axes,
            format_bytes(each.predicted_bytes),
            format_bytes(each.actual_bytes),
            _off(each.predicted_bytes, each.actual_bytes),
            str(each.predicted_runs),
            str(each.actual_runs),
        )
    if not collectives:
        table.add_row("", "none", "", "", "", "", "", "")
    return table


def _memory(found: Validation) -> Table:
    """What XLA takes of its own accord is compared with the limit, what it needs with the plan."""
    columns = ["stage", "predicted", "actual", "off"]
    has_two = any(each.plain_bytes is not None for each in found.memory)
    if has_two:
        kept = " (as compiled)" if found.is_kept_within else ""
        columns = ["stage", "predicted", f"needed{kept}", "off", "with XLA's latency hiding"]
    title = f"peak memory per device, limit {format_bytes(found.limit_bytes)}"
    table = _table(title, *columns)
    for each in found.memory:
        row = [
            str(each.stage),
            format_bytes(each.predicted_bytes),
            _against_limit(each.needed_bytes, found.limit_bytes),
            f"{each.error:+.1%}",
        ]
        if has_two:
            row.append(_against_limit(each.actual_bytes, found.limit_bytes))
        table.add_row(*row)
    return table


def _against_limit(num_bytes: int, limit: int) -> str:
    return format_bytes(num_bytes) + (" (over the limit)" if num_bytes > limit else "")


def _off(predicted: int, actual: int) -> str:
    return f"{predicted / actual - 1:+.1%}" if actual else "only planned"


def _table(title: str, *columns: str) -> Table:
    return make_table(title, *columns, numbers=set(columns) - _TEXTS)
