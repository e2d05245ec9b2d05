"""`alpa-energy`: the time-energy frontier of a profile under a schedule."""

import json
from pathlib import Path

import click

from alpa_mlir.cli.command import OneLineCommand, file_option
from alpa_mlir.energy.frontier import EnergyFrontier
from alpa_mlir.energy.problem import EnergyStep
from alpa_mlir.energy.profile import EnergyProfile
from alpa_mlir.errors import EnergyError
from alpa_mlir.files import check_can_write, write_text
from alpa_mlir.plan.data import SCHEDULES


@click.command(name="alpa-energy", cls=OneLineCommand)
@click.argument("profile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--schedule", type=click.Choice(SCHEDULES), default="1f1b", show_default=True)
@click.option("--microbatches", type=click.IntRange(1), required=True)
@click.option("--blocking-watts", type=float, help="Of a stage that waits. Needed for a CSV.")
@click.option("--unit-seconds", type=float, default=0.001, show_default=True)
@click.option("--load-seconds", type=float, default=0.0, help="Of one microbatch's data.")
@click.option("--straggler", type=float, help="Plan also for a step this many times longer.")
@file_option("--csv", "csv_path", help_text="Write all points as time,energy.")
@file_option("--json", "json_path", help_text="Write the frequencies of the fastest point.")
@click.option(
    "--plot", "plots", multiple=True, type=click.Path(dir_okay=False, path_type=Path),
    help="An .svg or .html file; may be given twice.",
)  # fmt: skip
def main(
    profile: Path,
    schedule: str,
    microbatches: int,
    blocking_watts: float | None,
    unit_seconds: float,
    load_seconds: float,
    straggler: float | None,
    csv_path: Path | None,
    json_path: Path | None,
    plots: tuple[Path, ...],
) -> None:
    """Print the ends of the time-energy frontier of PROFILE (.csv or .json) and what they save."""
    for path in filter(None, (csv_path, json_path, *plots)):
        check_can_write(path, EnergyError)
    loaded = EnergyProfile.load(profile, blocking_watts)
    frontier = EnergyFrontier.of(
        EnergyStep(
            profile=loaded,
            schedule=schedule,  # pyright: ignore[reportArgumentType]: click has checked it
            num_stages=loaded.num_stages,
            num_microbatches=microbatches,
            unit_seconds=unit_seconds,
            load_seconds=load_seconds,
        )
    )
    lines = [frontier.explain()]
    if straggler is not None:
        lines.append(_straggler_line(frontier, straggler))
    click.echo("\n".join(lines))
    if csv_path:
        frontier.to_csv(csv_path)
    if json_path:
        write_text(json_path, json.dumps(_plan_json(frontier), indent=1) + "\n", EnergyError)
    for path in plots:
        frontier.plot(path)


def _straggler_line(frontier: EnergyFrontier, degree: float) -> str:
    seconds = frontier.plan(frontier.fastest).seconds * degree
    plan = frontier.plan(frontier.for_straggler(seconds))
    return (
        f"straggler {degree:g} x: {seconds:.6g} s, {plan.joules:.6g} J until it has ended, within "
        f"{plan.gap:.2%} of the bound {plan.bound_joules:.6g} J"
    )


def _plan_json(frontier: EnergyFrontier) -> dict[str, object]:
    plan = frontier.plan(frontier.fastest)
    return {
        "seconds": plan.seconds,
        "joules": plan.joules,
        "bound_joules": plan.bound_joules,
        "stages": [
            [{"task": str(each.task), "megahertz": each.megahertz} for each in tasks]
            for tasks in plan.stages
        ],
    }
