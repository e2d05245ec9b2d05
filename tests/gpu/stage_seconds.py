"""Predicted against measured: seconds and memory of plans for eight GPUs, on one.

    python tests/gpu/stage_seconds.py --output DIR [--profile FILE] [--seconds 220] [--size debug]

A training step is planned for a `dgx-h100`, and XLA partitions it for eight devices, which may be
virtual ones of the CPU. One device's part, with the shapes of its shards, then runs alone on the
GPU, without collectives (`tests/gpu/alone.py`), and is compared with what the plan says of
computing: its seconds without those of collectives, and its memory. Of a pipeline, every program of
every stage is run so, and compared by stage. Programs are timed without donating their arguments,
and compiled once more with it for their memory.

Writes a JSON and a plan per case, so that a later model can be held against the same measurements.
Started again with the same folder, it goes on behind the last case: XLA may end the process.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests, when it is run as a program
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("NPROC", "32")

import datetime
import json
import statistics
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import alpa_mlir as alpa
import click
import jax
import jax.numpy as jnp
import numpy as np
import optax
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.cluster.profile import Profile
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.plan.data import PlanData, PlannedCollective
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.runtime.compile import instructions_of_step
from alpa_mlir.runtime.donation import find_donations
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.memory import allocated_bytes, peak_bytes
from alpa_mlir.schedule.instructions import make_instructions
from alpa_mlir.schedule.schedule import Phase
from alpa_mlir.stations import Lowered, LoweredPipeline
from gpu.alone import alone

BF16 = {"dtype": jnp.bfloat16}
NUM_REPEATS = 5
SECONDS_PER_REPEAT = 0.2
_Pipeline = alpa.PipelineParallel


@dataclass(frozen=True)
class Case:
    """A model at a size, and how it is planned."""

    name: str
    model: str
    size: str
    batch_size: int
    method: Any
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])

    def workload(self, size: str | None) -> Workload:
        optimizer = optax.adam(1e-3)
        if self.model == "wide_resnet":
            optimizer = optax.sgd(0.05, momentum=0.9)
        if size is not None:
            return workload(self.model, size, 16, optimizer)
        return workload(self.model, self.size, self.batch_size, optimizer, **self.overrides)


def pipeline(**options: Any) -> Any:
    return _Pipeline(num_stages=2, num_microbatches=4, cache_dir=None, num_processes=0, **options)


GPT = {"num_layers": 2, **BF16}
MOE = {"num_layers": 4, **BF16}
RESNET = {"blocks": (1, 1, 1, 1)}
CASES = (
    Case("gpt-shard", "gpt", "1.3B", 16, alpa.ShardParallel(), GPT),
    Case("moe-shard", "moe", "1.3B", 16, alpa.ShardParallel(), MOE),
    Case("wide_resnet-shard", "wide_resnet", "250M", 64, alpa.ShardParallel(), RESNET),
    Case("gpt-pipeline", "gpt", "1.3B", 32, pipeline(), GPT),
    Case("gpt-zero3", "gpt", "1.3B", 16, alpa.Zero3Parallel(), GPT),
    Case("moe-data", "moe", "1.3B", 16, alpa.DataParallel(), MOE),
    Case("wide_resnet-data", "wide_resnet", "250M", 64, alpa.DataParallel(), RESNET),
    Case("moe-pipeline", "moe", "1.3B", 32, pipeline(), {**MOE, "group_size": 1024}),
    Case(
        "wide_resnet-pipeline",
        "wide_resnet",
        "250M",
        64,
        pipeline(allow_local_statistics=True),
        RESNET,
    ),
    Case("gpt-data", "gpt", "1.3B", 16, alpa.DataParallel(), GPT),
    Case(
        "gpt-unrolled-shard",
        "gpt",
        "1.3B",
        32,
        alpa.ShardParallel(),
        {**GPT, "form": "unrolled"},
    ),
)


# --- One device's part ---


def seconds_and_compiled(
    program: AnnotatedProgram, device: Any, donated: Sequence[int] | None = None
) -> tuple[float, Any]:
    """Of one run, the median of several; and the program with donation.

    Args:
      donated: positions of flat arguments; None: those of the program.
    """
    mesh = LogicalMesh.of_shape((1,)).over([device])
    with_donation = program
    if donated is not None:
        with_donation = replace(program, donate_argnums=tuple(donated))
    donating = compile_program(with_donation, mesh)
    compiled = compile_program(replace(program, donate_argnums=()), mesh)
    arguments = program.in_tree.unflatten([array_like(aval, device) for aval in program.in_avals])
    jax.block_until_ready(compiled(*arguments))
    first = elapsed(compiled, arguments, 1)
    num_runs = max(1, min(100, round(SECONDS_PER_REPEAT / first)))
    repeats = [elapsed(compiled, arguments, num_runs) / num_runs for _ in range(NUM_REPEATS)]
    return statistics.median(repeats), donating


def elapsed(compiled: Any, arguments: Any, num_runs: int) -> float:
    start = time.perf_counter()
    results: Any = None
    for _ in range(num_runs):
        results = compiled(*arguments)
    jax.block_until_ready(results)
    return time.perf_counter() - start


def array_like(aval: Any, device: Any) -> jax.Array:
    """Small random numbers: products of zeros are faster than others."""
    generator = np.random.default_rng(0)
    if jnp.issubdtype(aval.dtype, jnp.floating):
        values = generator.standard_normal(aval.shape, np.float32) * 0.02
    else:
        values = generator.integers(0, 2, aval.shape)
    return jax.device_put(jnp.asarray(values, aval.dtype), device)


# --- Cases ---


def measure(case: Case, cluster: alpa.Cluster, size: str | None, device: Any) -> tuple[Any, Any]:
    """A record, and the plan."""
    work = case.workload(size)
    start = time.perf_counter()
    step = alpa.parallelize(work.train_step, case.method, cluster)
    lowered = step.lower(*work.abstract_arguments())
    record: dict[str, Any] = {"name": case.name, "planning_seconds": time.perf_counter() - start}
    if isinstance(lowered, Lowered):
        record["parts"] = [whole(lowered, device)]
    else:
        assert isinstance(lowered, LoweredPipeline)
        record["parts"] = stages(lowered, device)
    record["seconds"] = time.perf_counter() - start
    return record, lowered.plan


def whole(lowered: Lowered, device: Any) -> dict[str, Any]:
    plan = lowered.plan
    mesh = plan.mesh.over(jax.devices("cpu"))
    seconds, compiled = seconds_and_compiled(alone(lowered.program, mesh), device)
    communication = communication_seconds(plan.collectives)
    num_bytes = allocated_bytes(compiled, device.platform)
    return part(
        "step", plan, plan.step_seconds, communication, seconds, plan.memory_bytes, num_bytes
    )


def stages(lowered: LoweredPipeline, device: Any) -> list[dict[str, Any]]:
    """A part per stage: all of its programs as often as a step runs them.

    Memory is the runtime's own count of what is live beside each program, with the temporaries of
    the programs for this device.
    """
    plan, program = lowered.plan, lowered.program
    cpus = jax.devices("cpu")
    lists, layout = make_instructions(program.schedule, program.values), Layout(program, cpus)
    donations = find_donations(program, lists, layout)
    compiled: dict[Any, Any] = {}
    measured: dict[int, dict[str, float]] = {}
    for kind, task in program.programs.items():
        devices = program.stages[kind.stage]
        mesh = devices.mesh.over([cpus[number] for number in devices.numbers])
        if kind.phase is Phase.PROLOGUE:
            raise ValueError("expected a step without prologue: its time is not the stage's")
        seconds, compiled[kind] = seconds_and_compiled(
            alone(task, mesh), device, donations.get(kind, ())
        )
        measured.setdefault(kind.stage, {})[str(kind)] = seconds
    order = instructions_of_step(program, lists)
    peaks = peak_bytes(program, layout, order, compiled, donations)
    parts: list[dict[str, Any]] = []
    for number, stage in enumerate(plan.stages):
        programs = measured[number]
        runs = {name: 1 if name.startswith("U") else plan.num_microbatches for name in programs}
        seconds = sum(of_one * runs[name] for name, of_one in programs.items())
        per_microbatch = stage.forward_seconds + stage.backward_seconds
        predicted = plan.num_microbatches * per_microbatch + stage.update_seconds
        communication = communication_seconds(stage.collectives)
        num_bytes = max(peaks[cpus[each]] for each in stage.devices)
        record = part(
            f"stage {number}",
            plan,
            predicted,
            communication,
            seconds,
            stage.memory_bytes,
            num_bytes,
        )
        record["programs"] = programs
        record["phases"] = [stage.forward_seconds, stage.backward_seconds, stage.update_seconds]
        parts.append(record)
    return parts


def communication_seconds(collectives: Sequence[PlannedCollective]) -> float:
    return sum(collective.seconds for collective in collectives)


def part(
    name: str,
    plan: PlanData,
    predicted: float,
    communication: float,
    measured: float,
    predicted_bytes: int,
    measured_bytes: int,
) -> dict[str, Any]:
    return {
        "part": name,
        "mesh": str(plan.mesh),
        "predicted_seconds": predicted - communication,
        "communication_seconds": communication,
        "measured_seconds": measured,
        "predicted_bytes": predicted_bytes,
        "measured_bytes": measured_bytes,
    }


# --- Report ---


def line(name: str, p: dict[str, Any]) -> str:
    predicted, measured = p["predicted_seconds"], p["measured_seconds"]
    memory = p["predicted_bytes"] / p["measured_bytes"]
    return (
        f"{name:22}{p['part']:9}{predicted * 1e3:10.3f}{measured * 1e3:10.3f} ms"
        f"{predicted / measured - 1:+8.1%}   memory {p['predicted_bytes'] / 1e6:9.1f}"
        f"{p['measured_bytes'] / 1e6:9.1f} MB{memory - 1:+8.1%}"
    )


@click.command()
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--profile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seconds", default=220.0, show_default=True, help="Start no case after so long.")
@click.option("--size", help="One size for all models, such as debug; to try the script.")
@click.option("--case", "names", multiple=True, type=click.Choice([c.name for c in CASES]))
def main(
    output: Path, profile: Path | None, seconds: float, size: str | None, names: tuple[str, ...]
) -> None:
    """Runs one device's part of plans for eight, and writes what it took."""
    output.mkdir(parents=True, exist_ok=True)
    device = jax.local_devices()[0]
    cluster = alpa.Cluster.preset("dgx-h100")
    if profile is not None:
        efficiency = Profile.load(profile).efficiency
        cluster = replace(cluster, device=replace(cluster.device, efficiency=efficiency))
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "device": device.device_kind,
        "versions": {"jax": jax.__version__, "python": sys.version.split()[0]},
        "priced_by": cluster.device.efficiency.source if cluster.device.efficiency else "peaks",
        "size": size,
        "cases": [],
    }
    path = output / "stage_seconds.json"
    if path.exists():  # of a run that XLA ended
        report = json.loads(path.read_text())
    done = {record["name"] for record in report["cases"]}
    start = time.perf_counter()
    print(f"{device.device_kind}; priced by {report['priced_by']}", flush=True)
    for case in CASES:
        is_wanted = (not names or case.name in names) and case.name not in done
        if not is_wanted or time.perf_counter() - start > seconds:
            continue
        ended = {"name": case.name, "parts": [], "failure": "the process ended"}
        path.write_text(json.dumps({**report, "cases": [*report["cases"], ended]}))
        try:
            record, plan = measure(case, cluster, size, device)
            plan.save(output / f"plan-{case.name}.json")
            for p in record["parts"]:
                print(line(case.name, p), flush=True)
        except Exception:  # the others are to run all the same
            record = {"name": case.name, "parts": [], "failure": traceback.format_exc()}
            print(f"{case.name}: {record['failure']}", flush=True)
        report["cases"].append(record)
        path.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(any("failure" in record for record in report["cases"]))


if __name__ == "__main__":
    main()
