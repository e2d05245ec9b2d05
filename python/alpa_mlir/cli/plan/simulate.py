"""`alpa-plan simulate`: a plan on a clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alpa_mlir import Plan
from alpa_mlir.cli.command import OneLineCommand, echo_json, file_option, json_option
from alpa_mlir.errors import ScheduleError
from alpa_mlir.files import check_can_write, replacing
from alpa_mlir.plan.data import PlanData
from alpa_mlir.report.breakdown import mean_time
from alpa_mlir.simulate.drawing import save_svg, save_trace, to_text
from alpa_mlir.simulate.planned import planned_timeline
from alpa_mlir.simulate.timeline import Timeline
from alpa_mlir.units import format_seconds

_WIDTH = 130


@click.command(cls=OneLineCommand)
@click.argument("plan", type=click.Path(path_type=Path))
@file_option("--svg", help_text="Also draw the timeline.")
@file_option("--perfetto", help_text="Also write the timeline for ui.perfetto.dev.")
@json_option
def simulate(plan: Path, svg: Path | None, perfetto: Path | None, as_json: bool) -> None:
    """Run PLAN, a file, on a clock: when each task of a step runs, and where the time goes."""
    loaded = Plan.load(plan)
    if not loaded.is_pipeline:
        raise ScheduleError(
            f"expected the plan of a pipeline, got {plan}: one program over all devices, whose "
            "ops have no times of their own; see alpa-plan explain"
        )
    for path in filter(None, (svg, perfetto)):
        check_can_write(path, ScheduleError)
    timeline = planned_timeline(loaded)
    for path, save in ((svg, save_svg), (perfetto, save_trace)):
        if path is not None:
            with replacing(path, ScheduleError) as file:
                save(file, {"planned": timeline})
    if as_json:
        echo_json(_as_json(loaded, timeline))
    else:
        click.echo(_as_text(loaded, timeline))


def _as_text(plan: PlanData, timeline: Timeline) -> str:
    parts = mean_time(plan)
    lines = [to_text(timeline, _WIDTH), "of a device's step, on average:"]
    lines += [
        f"  {name:20}{format_seconds(seconds):>10}{seconds / parts.step_seconds:8.1%}"
        for name, seconds in parts.items()
    ]
    return "\n".join(lines)


def _as_json(plan: PlanData, timeline: Timeline) -> dict[str, Any]:
    return {
        "step_seconds": plan.step_seconds,
        "makespan_seconds": timeline.makespan_seconds,
        "bubble_fraction": timeline.bubble_fraction,
        "peak_in_flight": list(timeline.peak_in_flight),
        "time": mean_time(plan).to_json(),
        "tasks": [
            {
                "task": str(timed.task),
                "stage": timed.task.stage,
                "phase": timed.task.phase.name.lower(),
                "microbatch": timed.task.microbatch,
                "start_seconds": timed.start_seconds,
                "end_seconds": timed.end_seconds,
            }
            for timed in timeline.tasks()
        ],
    }
