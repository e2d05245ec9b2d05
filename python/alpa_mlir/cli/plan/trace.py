"""`alpa-plan trace`: a function, or a module from anywhere, as a module to plan for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alpa_mlir.cli.command import (
    OneLineCommand,
    echo_json,
    file_option,
    json_option,
    progress,
    quiet_option,
)
from alpa_mlir.cli.source import Asked, read_source, source_options
from alpa_mlir.errors import TraceError
from alpa_mlir.files import check_can_write, write_text
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.ir.jaxlib import to_pretty
from alpa_mlir.progress import Stopwatch


@click.command(cls=OneLineCommand)
@source_options
@click.option(
    "--platform",
    type=click.Choice(("cpu", "cuda")),
    help="What a function is lowered for. Default: what JAX has here.",
)
@file_option("--output", "-o", help_text="Default: standard output.")
@json_option
@quiet_option
def trace(
    platform: str | None, output: Path | None, as_json: bool, quiet: bool, **asked: Any
) -> None:
    """Write SOURCE as a StableHLO module with the parts of a step marked: state, batch, donation.

    SOURCE is module:function of something that can be imported, with --args or --arg, or a file of
    StableHLO: text, bytecode or a portable artifact. --json prints what was found instead of the
    module.
    """
    if output is not None:
        check_can_write(output, TraceError)
    with Stopwatch(asked["source"], progress(quiet))("trace"):
        program = read_source(Asked(**asked), platform)
    if program.host_callbacks:
        raise TraceError(
            f"expected {program.name} not to call Python functions (jax.debug.print, "
            "io_callback), which no file can hold, got one that does; plan it in Python"
        )
    module = to_pretty(program.text)
    if output is not None:
        write_text(output, module, TraceError)
    if as_json:
        echo_json(_as_json(program))
    elif output is None:
        click.echo(module, nl=False)
    else:
        click.echo(_summary(program))


def _as_json(program: TracedProgram) -> dict[str, Any]:
    return {
        "name": program.name,
        "arguments": [
            {
                "name": each.name,
                "dtype": str(each.aval.dtype),
                "shape": list(each.aval.shape),
                "batch_dim": each.batch_dim,
                "state_result": each.state_result,
                "gradient_result": each.gradient_result,
                "is_donated": each.is_donated,
            }
            for each in program.arguments
        ],
        "results": [
            {"name": each.name, "dtype": str(each.aval.dtype), "shape": list(each.aval.shape)}
            for each in program.results
        ],
        "remarks": list(program.remarks),
    }


def _summary(program: TracedProgram) -> str:
    state = sum(each.state_result is not None for each in program.arguments)
    batch = sum(each.is_batch for each in program.arguments)
    lines = [
        f"{program.name}: {len(program.arguments)} arguments, {state} of them state and {batch} "
        f"of the batch, {len(program.results)} results"
    ]
    return "\n".join([*lines, *(f"remark: {remark}" for remark in program.remarks)])
