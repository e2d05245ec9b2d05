"""What driving a pipeline costs, and whether steps take the time and memory that were predicted.

    python benchmarks/pipeline_overhead.py [--size debug] [--stages 2] [--save RESULTS.json]

GPT on eight virtual CPU devices in one process. Three goals; exits with 1 if one is missed:

1. Driver time per instruction: CPU time of the thread that issues (`time.thread_time`), each
   instruction alone on the machine, its fastest repetition. At most 150 us in the mean.
2. Step time: measured, against the schedule simulated with measured times of its tasks. The two
   cores of a small machine carry all eight devices, so meshes are not as free of one another as
   the schedule assumes, and the driver needs a core as well. So the comparison simulates what is
   there: every instruction, run alone, gives seconds and CPU seconds; instructions wait for their
   inputs, their mesh and the driver; those that run at once share the cores, each slowed down as
   far as together they want more cores than there are. How many there are is measured as well,
   by threads that do nothing but count, since others may use the machine. Steps, instructions and
   cores are measured in turns, and means compared. The schedule on meshes that share nothing is
   printed beside it. Within 15 %.
3. Memory of each stage: what the plan says against what XLA has allocated. Within 25 %: what is
   off is temporaries, which XLA on CPU shares less than the plan assumes.

Transfers are counted too: bytes that go from stage to stage as planned and as issued.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("NPROC", "32")

import json
import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import jax
import optax
from alpa_mlir.models.workload import workload
from alpa_mlir.program.pipeline import num_bytes
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.instructions import Transfer
from pipeline_rig import Cost, Rig, fastest_drivers, free_cores, mean_costs
from rich.console import Console
from rich.table import Table
from shared_cores import simulate_shared, simulate_unshared

GOAL_DRIVER_SECONDS = 150e-6
GOAL_STEP, GOAL_MEMORY = 0.15, 0.25
BATCH_SIZE = 16
SIZES = ("debug", "1M")


@dataclass(frozen=True)
class Result:
    """Of one pipeline; times in seconds.

    Attributes:
      driver_by_kind: number of instructions and their mean.
      num_cores: that were free while it was measured.
      simulated_step_unshared: on meshes that share nothing, without the driver.
      memory: of every stage, planned and as XLA has it.
      transfer_bytes: of values, planned and issued; and what all devices receive, copies of state
        and of replicated values included.
    """

    size: str
    num_stages: int
    driver_by_kind: dict[str, tuple[int, float]]
    driver_mean: float
    num_cores: float
    measured_step: float
    simulated_step: float
    simulated_step_unshared: float
    memory: list[tuple[int, int]]
    transfer_bytes: tuple[int, int, int]

    @property
    def step_error(self) -> float:
        return self.simulated_step / self.measured_step - 1

    @property
    def memory_errors(self) -> list[float]:
        return [planned / actual - 1 for planned, actual in self.memory]

    def misses(self) -> list[str]:
        """The goals that are not reached."""
        goals = {
            "driver time": self.driver_mean / GOAL_DRIVER_SECONDS,
            "step time": abs(self.step_error) / GOAL_STEP,
            "memory": max(map(abs, self.memory_errors)) / GOAL_MEMORY,
        }
        return [name for name, part in goals.items() if part > 1]


def measure(size: str, num_stages: int, num_repetitions: int) -> Result:
    overrides = {"num_layers": num_stages} if size == "debug" else {}
    rig = Rig(workload("gpt", size, BATCH_SIZE, optax.adam(1e-3), **overrides), num_stages)
    rig.step_seconds()
    rig.one_by_one()
    steps: list[float] = []
    placings: list[float] = []
    cores: list[float] = []
    runs: list[list[Cost]] = []
    for _ in range(num_repetitions):
        steps.append(rig.step_seconds())
        placings.append(rig.placing_seconds())
        runs.append(rig.one_by_one())
        cores.append(free_cores())
    costs, drivers = mean_costs(runs), fastest_drivers(runs)
    by_kind: defaultdict[str, list[float]] = defaultdict(list)
    for each, seconds in zip(rig.executable.driver.issued, drivers, strict=True):
        by_kind[type(each.issue).__name__.removesuffix("Step")].append(seconds)
    actual, layout = rig.executable.memory_by_device(), rig.executable.driver.layout
    num_cores = fmean(cores)
    return Result(
        size=size,
        num_stages=num_stages,
        driver_by_kind={kind: (len(times), fmean(times)) for kind, times in by_kind.items()},
        driver_mean=fmean(drivers),
        num_cores=num_cores,
        measured_step=fmean(steps),
        simulated_step=fmean(placings) + simulate_shared(rig.executable, costs, num_cores),
        simulated_step_unshared=simulate_unshared(rig.executable, costs),
        memory=[
            (
                stage.memory_bytes,
                max(actual[d] for d in layout.devices(number)),
            )
            for number, stage in enumerate(rig.plan.stages)
        ],
        transfer_bytes=(
            rig.plan.transfer_bytes(),
            issued_bytes(rig.executable),
            rig.executable.transfer_bytes(),
        ),
    )


def issued_bytes(executable: PipelineExecutable[Any]) -> int:
    """Of the values that tasks send, each counted whole; state that is copied is not planned."""
    driver = executable.driver
    return sum(
        num_bytes(aval.shape, aval.dtype)
        for each in driver.issued
        if isinstance(each.instruction, Transfer)
        for buffer in each.instruction.reads
        for aval in [driver.layout.aval(buffer)]
        if buffer.value not in driver.program.values.state
    )


def show(console: Console, results: Sequence[Result]) -> None:
    driver = Table("pipeline", "mean", title="driver, us per instruction (number of them)")
    kinds = list(dict.fromkeys(kind for result in results for kind in result.driver_by_kind))
    steps = Table(
        "pipeline", "free cores", "measured", "shared cores", "error", "own cores", title="step, ms"
    )
    memory = Table("pipeline", "stage", "planned", "XLA", "error", title="memory per device, kB")
    sent = Table("pipeline", "planned", "issued", "received", title="transfers, kB")
    for kind in kinds:
        driver.add_column(kind)
    for result in results:
        name = f"{result.size}, {result.num_stages} stages"
        cells = (result.driver_by_kind[kind] for kind in kinds)
        means = (f"{seconds * 1e6:.0f} ({count})" for count, seconds in cells)
        driver.add_row(name, f"{result.driver_mean * 1e6:.0f}", *means)
        steps.add_row(
            name,
            f"{result.num_cores:.2f}",
            f"{result.measured_step * 1e3:.1f}",
            f"{result.simulated_step * 1e3:.1f}",
            f"{result.step_error:+.1%}",
            f"{result.simulated_step_unshared * 1e3:.1f}",
        )
        for number, (planned, actual) in enumerate(result.memory):
            error = f"{result.memory_errors[number]:+.1%}"
            memory.add_row(
                name, str(number), f"{planned / 1e3:,.0f}", f"{actual / 1e3:,.0f}", error
            )
        sent.add_row(name, *(f"{count / 1e3:,.0f}" for count in result.transfer_bytes))
    for table in (driver, steps, memory, sent):
        console.print(table)


def save(path: Path, results: Sequence[Result]) -> None:
    """Writes the results with date and machine: a file of benchmarks/results."""
    document = {
        "benchmark": "pipeline_overhead",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],  # above ours: others were at work
        },
        "python": platform.python_version(),
        "jax": jax.__version__,
        "units": "seconds and bytes",
        "results": [
            {**asdict(result), "step_error": result.step_error, "missed_goals": result.misses()}
            for result in results
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


@click.command()
@click.option("--size", "sizes", multiple=True, help="Of GPT. Default: debug and 1M.")
@click.option("--stages", "stages", multiple=True, type=int, help="Default: 2 and 4.")
@click.option("--num-repetitions", default=10)
@click.option("--save", "path", type=click.Path(path_type=Path), help="JSON to write.")
def main(
    sizes: tuple[str, ...], stages: tuple[int, ...], num_repetitions: int, path: Path | None
) -> None:
    """Prints the tables and fails where a goal is missed."""
    cases = product(sizes or SIZES, stages or (2, 4))
    results = [measure(size, num_stages, num_repetitions) for size, num_stages in cases]
    console = Console(width=110)
    show(console, results)
    if path:
        save(path, results)
    missed = [(result, result.misses()) for result in results if result.misses()]
    for result, goals in missed:
        names = ", ".join(goals)
        console.print(f"missed with {result.size}, {result.num_stages} stages: {names}")
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
