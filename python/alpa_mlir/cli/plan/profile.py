"""`alpa-plan profile`: measures the devices of this process."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click
import jax

from alpa_mlir.cluster.profile import Profile
from alpa_mlir.errors import AlpaError
from alpa_mlir.profiling.fit import Measurement
from alpa_mlir.profiling.profile import make_profile, measure
from alpa_mlir.progress import say_nothing
from alpa_mlir.report.progress import terminal_progress


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=86400),
    default=180.0,
    show_default=True,
    help="Stop measuring after so long.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Default: where Cluster.local() looks for it.",
)
@click.option(
    "--measurements",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write every op and its seconds, as JSON.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
def profile(seconds: float, output: Path | None, measurements: Path | None, quiet: bool) -> None:
    """Measure the devices of this process: products, memory-bound ops, collectives.

    Writes curves of seconds by size as JSON, which Cluster.local() uses, and prints how far they
    are from ops that they were not made of.
    """
    for option, file in (("--output", output), ("--measurements", measurements)):
        if file is not None and not file.parent.is_dir():
            raise click.UsageError(f"{option}: expected {file.parent} to be a folder")
    devices = jax.local_devices()
    start = time.perf_counter()
    measured = measure(devices, seconds, say_nothing if quiet else terminal_progress())
    if measurements is not None:
        measurements.write_text(_as_json(measured))
    try:
        found = make_profile(devices, measured, time.perf_counter() - start)
        path = found.key.path if output is None else output
        found.save(path)
    except AlpaError as error:
        raise click.UsageError(str(error)) from None
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
            f"{found.link.bytes_per_second / 1e9:.4g} GB/s"
        )
    lines.append(f"{'error on ops held out':28}{'ops':>5}{'mean':>8}{'worst':>8}")
    lines += [
        f"  {e.op_class:26}{e.num_ops:5}{e.mean:8.1%}{e.worst:8.1%}"
        for e in found.efficiency.errors
    ]
    return "\n".join(lines)
