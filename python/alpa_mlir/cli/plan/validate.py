"""`alpa-plan validate`: a plan held against XLA's compiler."""

from pathlib import Path

import click

from alpa_mlir import Plan
from alpa_mlir.cli.command import OneLineCommand, echo_json, json_option, progress, quiet_option
from alpa_mlir.report.validation import explain_validation


@click.command(cls=OneLineCommand)
@click.argument("plan", type=click.Path(path_type=Path))
@json_option
@quiet_option
def validate(plan: Path, as_json: bool, quiet: bool) -> None:
    """Compile a plan's programs for its devices, without having them, and compare.

    PLAN is a file that Plan.save wrote. Prints predicted against actual: collectives by kind, axes
    and bytes, peak memory with and without XLA's latency-hiding scheduler, and XLA's warnings.
    """
    found = Plan.load(plan).validate(progress(quiet))
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo(explain_validation(found))
