"""`alpa-plan compare`: two plans beside each other."""

from __future__ import annotations

from pathlib import Path

import click

from alpa_mlir import Plan
from alpa_mlir.cli.command import OneLineCommand, echo_json, json_option


@click.command(cls=OneLineCommand)
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@json_option
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Print what differs between two plans, files both, and what each difference costs."""
    found = Plan.load(first).compare(Plan.load(second))
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo(str(found))
