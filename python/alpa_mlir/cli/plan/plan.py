"""`alpa-plan plan`: searches."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from alpa_mlir import Plan
from alpa_mlir.cli.cluster import ClusterName, find_cluster
from alpa_mlir.cli.command import (
    OneLineCommand,
    echo_json,
    file_option,
    json_option,
    progress,
    quiet_option,
)
from alpa_mlir.cli.method import make_method, method_options
from alpa_mlir.cli.source import Asked, read_source, source_options
from alpa_mlir.errors import PlanError
from alpa_mlir.files import check_can_write
from alpa_mlir.planner import Prepared, plan_program
from alpa_mlir.progress import Stopwatch


@click.command(cls=OneLineCommand)
@source_options
@click.option(
    "--cluster",
    type=ClusterName(),
    default="local",
    show_default=True,
    help="A preset such as dgx-h100, a file of Cluster.save, or local: the devices here.",
)
@click.option("--num-nodes", type=click.IntRange(1), help="Of a preset. Default: 1.")
@method_options
@file_option("--output", "-o", help_text="Write the plan, for Plan.load and the other commands.")
@json_option
@quiet_option
def plan(
    cluster: str,
    num_nodes: int | None,
    method: str,
    output: Path | None,
    as_json: bool,
    quiet: bool,
    **others: Any,
) -> None:
    """Search the fastest way to run SOURCE, a traced file or module:function, on a cluster.

    Prints the plan, with --json as data; a method has the options of its Python class.
    """
    asked = Asked(**{each.name: others.pop(each.name) for each in fields(Asked)})
    chosen = make_method(method, others)
    where = find_cluster(cluster, num_nodes)
    if output is not None:
        check_can_write(output, PlanError)
    stopwatch = Stopwatch(asked.source, progress(quiet))
    with stopwatch("trace"):
        program = read_source(asked, where.device.platform)
    data = plan_program(Prepared(program, stopwatch=stopwatch), chosen, where, stopwatch)
    found = Plan.of(data, None if program.host_callbacks else program.text)
    if output is not None:
        found.save(output)
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo(found.explain())
