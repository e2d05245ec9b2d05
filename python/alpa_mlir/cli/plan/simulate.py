"""`alpa-plan simulate`: a plan on a clock, on its cluster or on one that is slower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from alpa_mlir import Plan
from alpa_mlir.cli.command import OneLineCommand, echo_json, file_option, json_option
from alpa_mlir.errors import ArgumentError, ScheduleError
from alpa_mlir.files import check_can_write, write_text
from alpa_mlir.plan.data import PlanData
from alpa_mlir.report.breakdown import breakdown
from alpa_mlir.simulate.drawing import save_simulation_trace, to_svg, to_text
from alpa_mlir.simulate.events import Simulation
from alpa_mlir.simulate.what_if import WhatIf
from alpa_mlir.units import format_bytes, format_seconds, format_share

_WIDTH = 130


@click.command(cls=OneLineCommand)
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--slow", multiple=True, metavar="DEVICE=FACTOR", help="As if one were slower.")
@click.option("--slow-stages", multiple=True, metavar="STAGE=FACTOR", help="The same by stages.")
@click.option("--intra-node", type=float, default=1.0, help="Links in nodes carry so much less.")
@click.option("--inter-node", type=float, default=1.0, help="Links between nodes do.")
@click.option("--lost-nodes", multiple=True, type=int, metavar="NODE", help="As if it were gone.")
@file_option("--svg", help_text="Also draw the timeline.")
@file_option("--perfetto", help_text="Also write a trace for ui.perfetto.dev.")
@json_option
def simulate(
    plan: Path,
    slow: tuple[str, ...],
    slow_stages: tuple[str, ...],
    intra_node: float,
    inter_node: float,
    lost_nodes: tuple[int, ...],
    svg: Path | None,
    perfetto: Path | None,
    as_json: bool,
) -> None:
    """Run PLAN, a file, on a clock: tasks, transfers, memory and links of a step, and where the
    time goes. With an option that makes something slower: what would become of it.
    """
    loaded = Plan.load(plan)
    for path in filter(None, (svg, perfetto)):
        check_can_write(path, ScheduleError)
    found = loaded.what_if(
        _factors("--slow", slow),
        slow_stages=_factors("--slow-stages", slow_stages),
        intra_node=intra_node,
        inter_node=inter_node,
        lost_nodes=lost_nodes,
    )
    simulation = found.simulation
    if svg is not None:
        write_text(svg, to_svg({"planned": simulation.timeline}), ScheduleError)
    if perfetto is not None:
        save_simulation_trace(perfetto, simulation)
    if as_json:
        time = breakdown(found.plan).mean.to_json()
        echo_json({**simulation.to_json(), "slowdown": found.slowdown, "time": time})
    else:
        click.echo(_as_text(loaded, found))


def _factors(option: str, texts: Sequence[str]) -> dict[int, float]:
    factors: dict[int, float] = {}
    for text in texts:
        number, _, factor = text.partition("=")
        try:
            factors[int(number)] = float(factor)
        except ValueError:
            raise ArgumentError(
                f"{option}: expected a number and how many times as slow it is, such as 3=1.2, "
                f"got {text}"
            ) from None
    return factors


def _as_text(plan: PlanData, found: WhatIf) -> str:
    changed = found.plan
    lines = [] if changed == plan else [str(found)]
    if plan.is_pipeline:
        lines.append(to_text(found.simulation.timeline, _WIDTH))
    parts = breakdown(changed).mean
    lines.append("of a device's step, on average:")
    lines += [
        f"  {name:20}{format_seconds(seconds):>10}{format_share(seconds, parts.step_seconds):>8}"
        for name, seconds in parts.items()
    ]
    return "\n".join([*lines, *_memory(found.simulation), *_links(found.simulation)])


def _memory(simulation: Simulation) -> list[str]:
    peaks = (f"{each.stage}: {format_bytes(each.peak_bytes)}" for each in simulation.memory)
    return [f"peak memory by stage: {', '.join(peaks)}"]


def _links(simulation: Simulation) -> list[str]:
    """The one that carries for longest."""
    if not simulation.links:
        return []
    busiest = max(simulation.links, key=lambda link: link.busy_seconds)
    return [
        f"busiest link: {busiest.name}, {format_bytes(busiest.num_bytes)} in "
        f"{format_share(busiest.busy_seconds, simulation.step_seconds)} of the step"
    ]
