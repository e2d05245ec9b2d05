"""`alpa-plan validate`: a plan held against XLA's compiler."""

import json
import sys
from pathlib import Path

import click

from alpa_mlir import Plan
from alpa_mlir.errors import AlpaError
from alpa_mlir.progress import say_nothing
from alpa_mlir.report.progress import terminal_progress
from alpa_mlir.report.validation import explain_validation

_BAD_INPUT = 2


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def validate(plan: Path, as_json: bool, quiet: bool) -> None:
    """Compile a plan's programs for its devices, without having them, and compare.

    PLAN is a file that Plan.save wrote. Prints predicted against actual: collectives by kind, axes
    and bytes, peak memory with and without XLA's latency-hiding scheduler, and XLA's warnings.
    """
    try:
        on_progress = say_nothing if quiet else terminal_progress()
        found = Plan.load(plan).validate(on_progress)
    except AlpaError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_BAD_INPUT)
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else explain_validation(found))
