"""`alpa-plan show`: the report of a plan in a browser."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import click

from alpa_mlir import Plan
from alpa_mlir.cli.command import OneLineCommand, echo_json, file_option, json_option


@click.command(cls=OneLineCommand)
@click.argument("plan", type=click.Path(path_type=Path))
@file_option("--output", "-o", help_text="Write the page there, and open nothing.")
@json_option
def show(plan: Path, output: Path | None, as_json: bool) -> None:
    """Open the report of PLAN, a file: one page that needs no network.

    --json prints where the page is.
    """
    loaded = Plan.load(plan)
    page = output or Path(tempfile.mkdtemp(prefix="alpa-plan-")) / "report.html"
    loaded.report(page)
    is_open = output is None and webbrowser.open(page.resolve().as_uri())
    if as_json:
        echo_json({"page": str(page), "is_open": is_open})
    else:
        click.echo(f"{'opened' if is_open else 'written to'} {page}")
