"""`alpa-plan profile`: measures the devices of this process."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path

import click
import jax

from alpa_mlir.cli.command import (
    OneLineCommand,
    echo_json,
    file_option,
    json_option,
    progress,
    quiet_option,
)
from alpa_mlir.cluster.profile import Profile
from alpa_mlir.errors import ArgumentError, ClusterError
from alpa_mlir.files import check_can_write, write_text
from alpa_mlir.profiling.fit import Measurement
from alpa_mlir.profiling.profile import make_profile, measure


@click.command(cls=OneLineCommand)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=86400),
    default=180.0,
    show_default=True,
    help="Stop measuring after so long.",
)
@file_option("--output", help_text="Default: where Cluster.local() looks for it.")
@file_option("--measurements", help_text="Also write every op and its seconds, as JSON.")
@json_option
@quiet_option
def profile(
    seconds: float, output: Path | None, measurements: Path | None, as_json: bool, quiet: bool
) -> None:
    """Measure the devices of this process: products, memory-bound ops, collectives.

    Writes curves of seconds by size as JSON, which Cluster.local() uses, and prints how far they
    are from ops that they were not made of. Plans price collectives by the one link that tells
    their times best; curves of collectives are written as a record, without effect on plans.
    """
    if isnan(seconds):  # which is in every range, to click
        raise ArgumentError(f"--seconds: expected 1 to 86400, got {seconds}")
    for file in filter(None, (output, measurements)):
        check_can_write(file, ClusterError)
    devices = jax.local_devices()
    start = time.perf_counter()
    measured = measure(devices, seconds, progress(quiet))
    if measurements is not None:
        write_text(measurements, _as_json(measured), ClusterError)
    found = make_profile(devices, measured, time.perf_counter() - start)
    path = found.key.path if output is None else output
    found.save(path)
    if as_json:
        echo_json({"path": str(path), "profile": asdict(found)})
    else:
        click.echo(_summary(found))
        click.echo(f"written to {path}")


def _as_json(measured: Sequence[Measurement]) -> str:
    entries = [
        {
            "op": m.op.name,
            "op_class": m.op.op_class,
            "element_type": m.op.element_type,
            "flops": m.op.flops,
            "num_bytes": m.op.num_bytes,
            "group_size": m.op.group_size,
            "is_held_out": m.op.is_held_out,
            "seconds": m.seconds,
        }
        for m in measured
    ]
    return json.dumps(entries, indent=0) + "\n"


def _summary(found: Profile) -> str:
    key = found.key
    lines = [
        f"{key.num_devices} x {key.device_kind} ({key.platform}), JAX {key.jax_version}: "
        f"{found.num_ops} ops in {found.seconds:.0f} s",
        "fastest: "
        + ", ".join(f"{rate / 1e12:.4g} TFLOP/s {name}" for name, rate in found.peak_flops.items())
        + f"; {found.memory_bytes_per_second / 1e9:.4g} GB/s of memory",
    ]
    if found.link:
        lines.append(
            f"link: {found.link.latency_seconds * 1e6:.3g} us and "
            f"{found.link.bytes_per_second / 1e9:.4g} GB/s, by which plans price collectives; "
            "their curves are kept as a record"
        )
    lines.append(f"{'error on ops held out':28}{'ops':>5}{'mean':>8}{'worst':>8}")
    lines += [
        f"  {e.op_class:26}{e.num_ops:5}{e.mean:8.1%}{e.worst:8.1%}"
        for e in found.efficiency.errors
    ]
    return "\n".join(lines)
