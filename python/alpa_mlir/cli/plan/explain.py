"""`alpa-plan explain`: a plan in words."""

from __future__ import annotations

from pathlib import Path

import click

from alpa_mlir import Plan
from alpa_mlir.cli.command import OneLineCommand, echo_json, json_option
from alpa_mlir.report.page import page_data


@click.command(cls=OneLineCommand)
@click.argument("plan", type=click.Path(path_type=Path))
@json_option
def explain(plan: Path, as_json: bool) -> None:
    """Print what PLAN, a file, says: stages, which tensor how and why, collectives, memory.

    --json prints what the report shows: where the time goes, timeline, blocks, collectives.
    """
    loaded = Plan.load(plan)
    if as_json:
        echo_json(page_data(loaded))
    else:
        click.echo(loaded.explain())
