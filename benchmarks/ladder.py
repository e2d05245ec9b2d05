"""The ladder of Alpa's evaluation, and Llama on H100s: hand plans in our simulator, beside what was
measured.

    python benchmarks/ladder.py --family gpt --gpus 8 [--plans Megatron] [--most 5] [--output FILE]

For every point and hand plan: planning time, predicted peak memory, predicted step, and TFLOPS per
GPU by the paper's count where there is one. Published figures were measured: GPT's on p3.16xlarge
(Zheng et al., Alpa, OSDI'22), Llama's on H100s (The Llama 3 Herd of Models, 2024, table 4). A hand
plan that does not fit into memory, or that a model cannot have, says so in its row.

The whole ladder takes hours on a laptop: the grid has dozens of plans a point. Name what you want.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import alpa_mlir as alpa
import click
import optax
from alpa_mlir.baselines.plans import ALPA_GPT, HandPlan, ablations, experts, megatron_grid
from alpa_mlir.baselines.shardings import MEGATRON
from alpa_mlir.models import gpt, llama
from alpa_mlir.models.workload import MODELS, workload
from alpa_mlir.units import format_bytes, format_seconds
from rich.console import Console
from rich.table import Table

ADAM = optax.adam(1e-3)


@dataclass(frozen=True)
class Point:
    """A model on a cluster.

    Attributes:
      published: TFLOPS per GPU that were measured, by system.
    """

    family: str
    size: str
    num_gpus: int
    batch_size: int
    preset: str
    published: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def cluster(self) -> alpa.Cluster:
        """Whole nodes, or a part of one."""
        node = alpa.Cluster.preset(self.preset)
        per_node = min(self.num_gpus, node.devices_per_node)
        return replace(node, num_nodes=self.num_gpus // per_node, devices_per_node=per_node)


_GPUS = (1, 2, 4, 8, 16, 32, 64)
_SYSTEMS: tuple[str, ...] = ("Megatron-LM", "Alpa", "intra-op only", "inter-op only")
_GPT_TFLOPS = (
    (47.5, 55.5, 55.9, 50.4, 56.6, 58.2, 57.8),
    (45.1, 57.9, 58.2, 61.6, 60.0, 59.9, 57.0),
    (46.2, 59.5, 58.4, 50.8, 48.4, 35.1, 2.1),
    (44.2, 57.9, 54.0, 56.6, 59.7, 49.8, 50.6),
)
_SIZES = {
    "gpt": ("350M", "760M", "1.3B", "2.6B", "6.7B", "15B", "39B"),
    "moe": ("380M", "690M", "1.3B", "2.4B", "10B", "27B", "70B"),
    "wide_resnet": ("250M", "500M", "1B", "2B", "4B", "6.8B", "13B"),
}
_BATCH_SIZES = {"gpt": 1024, "moe": 1024, "wide_resnet": 1536}
# Sequences of 8,192 tokens; 16 million tokens a batch, as in the table cited above.
_LLAMA = (
    ("8B", 8, 128),
    ("70B", 256, 1024),
    ("405B", 1024, 2048),
    ("405B", 8192, 2048),
    ("405B", 16384, 2048),
)
_LLAMA_TFLOPS = {8192: {"Llama 3": 430.0}}


def points() -> Iterator[Point]:
    for family, sizes in _SIZES.items():
        for number, (size, num_gpus) in enumerate(zip(sizes, _GPUS, strict=True)):
            measured = dict(zip(_SYSTEMS, (each[number] for each in _GPT_TFLOPS), strict=True))
            yield Point(
                family,
                size,
                num_gpus,
                _BATCH_SIZES[family],
                "p3.16xlarge",
                published=measured if family == "gpt" else {},
            )
    for size, num_gpus, batch_size in _LLAMA:
        published = _LLAMA_TFLOPS.get(num_gpus, {})
        yield Point("llama", size, num_gpus, batch_size, "dgx-h100", published=published)


# What recomputes layers, by the name of the model.
_RECOMPUTATION: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "gpt": {
        "recomputation": {"form": "checkpointed"},
        "no recomputation": {"form": "unrolled"},
    },
    "llama": {
        "recomputation": {"recomputes_layers": True},
        "no recomputation": {"recomputes_layers": False},
    },
}


def hand_plans(point: Point) -> Iterator[HandPlan]:
    if point.family == "gpt" and point.num_gpus in ALPA_GPT:
        yield ALPA_GPT[point.num_gpus]
    yield from experts(point.family, point.cluster)
    if point.family in MEGATRON:
        yield from megatron_grid(
            point.family,
            point.cluster,
            point.batch_size,
            MODELS[point.family].SIZES[point.size].num_layers,
            _RECOMPUTATION[point.family],
        )
    yield from ablations()


@dataclass(frozen=True)
class Row:
    """What became of a hand plan.

    Attributes:
      tflops: per GPU, by the paper's count; None where there is none.
      refusal: why there is no plan.
    """

    point: str
    num_gpus: int
    plan: str
    planning_seconds: float
    step_seconds: float | None = None
    tflops: float | None = None
    peak_bytes: int | None = None
    bubble_fraction: float | None = None
    refusal: str | None = None


def measure(point: Point, hand: HandPlan) -> Row:
    setup = workload(point.family, point.size, point.batch_size, ADAM, **hand.overrides)
    step = alpa.parallelize(setup.train_step, hand.method, point.cluster)
    begin = perf_counter()
    names = (f"{point.family}:{point.size}", point.num_gpus, hand.name)
    try:
        plan = step.plan(*hand.arguments(setup))
    except alpa.AlpaError as error:
        return Row(*names, perf_counter() - begin, refusal=str(error))
    planning_seconds = perf_counter() - begin
    simulation = plan.simulate()
    return Row(
        *names,
        planning_seconds,
        simulation.step_seconds,
        tflops(point, hand, simulation.step_seconds),
        max(plan.memory_bytes, simulation.peak_memory_bytes),
        simulation.bubble_fraction,
    )


def tflops(point: Point, hand: HandPlan, step_seconds: float) -> float | None:
    """Per GPU; GPT's layers count again where they are recomputed, as in the paper."""
    counts = {"gpt": gpt, "llama": llama}
    if point.family not in counts:
        return None
    module = counts[point.family]
    config = replace(module.SIZES[point.size], **hand.overrides)
    flops = module.step_flops(config, point.batch_size)
    return flops / step_seconds / point.num_gpus / 1e12


def show(console: Console, rows: list[Row], point: Point) -> None:
    title = f"{point.family} {point.size} on {point.num_gpus} GPUs ({point.preset})"
    if point.published:
        figures = ", ".join(f"{name} {value:g}" for name, value in point.published.items())
        title += f"; measured TFLOPS per GPU: {figures}"
    table = Table(
        "hand plan", "TFLOPS per GPU", "step", "bubbles", "peak", "planned in", title=title
    )
    for row in sorted(rows, key=lambda row: row.step_seconds or float("inf")):
        if row.step_seconds is None:
            short = (row.refusal or "").split(";")[0][:60]
            table.add_row(row.plan, "", "", "", short, f"{row.planning_seconds:.1f} s")
            continue
        table.add_row(
            row.plan,
            "" if row.tflops is None else f"{row.tflops:.1f}",
            format_seconds(row.step_seconds),
            f"{row.bubble_fraction:.1%}",
            format_bytes(row.peak_bytes or 0),
            f"{row.planning_seconds:.1f} s",
        )
    console.print(table)


@click.command()
@click.option(
    "--family", multiple=True, help="gpt, moe, wide_resnet or llama; all of them if none."
)
@click.option("--gpus", multiple=True, type=int, help="Points with so many; all of them if none.")
@click.option("--plans", default="", help="Those whose name has this in it.")
@click.option("--most", default=None, type=int, help="So many hand plans a point.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write the rows as JSON.")
def main(
    family: tuple[str, ...],
    gpus: tuple[int, ...],
    plans: str,
    most: int | None,
    output: Path | None,
) -> None:
    """Prints a table for each point."""
    console, rows = Console(width=150), list[Row]()
    for point in points():
        if (family and point.family not in family) or (gpus and point.num_gpus not in gpus):
            continue
        wanted = (hand for hand in hand_plans(point) if plans in hand.name)
        found = [measure(point, hand) for hand in islice(wanted, most)]
        show(console, found, point)
        rows += found
    if output:
        output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
