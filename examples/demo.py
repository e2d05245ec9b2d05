"""A byte-level GPT learns Python on eight virtual CPU devices, in a pipeline found automatically.

`make demo` runs this. The text is the standard library's own source; the training step is plain
JAX. The devices have too little memory for one program over all of them, so that the planner cuts
the model into stages. The plan is printed before training, the timeline of a step after it, and the
losses beside those of one device from the same seed: they must agree, or the exit code is 1.
"""

import os
import sys

NUM_DEVICES = 8

# Before JAX is imported: it reads these once. NPROC sizes XLA's thread pool; with fewer threads
# than devices, programs full of collectives wait for one another for ever.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={NUM_DEVICES}"
os.environ["NPROC"] = "32"

import sysconfig
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
import optax
from alpa_mlir.models.workload import workload
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.simulate.drawing import to_text
from alpa_mlir.xla.collectives import bytes_by_kind
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

NUM_STEPS = 200
BATCH_SIZE = 8
SEQUENCE_LENGTH = 128
SEED = 0
TRACE = Path("build/demo-timeline.json")

# Of a device. Sharded so far that a single program needs no more, it is slower than a pipeline.
MEMORY_BYTES = 6_500_000

# Rounding differs from one device to eight, and training amplifies it.
NUM_EARLY_STEPS, EARLY_TOLERANCE, TOLERANCE = 20, 1e-4, 1e-2

Step = Callable[[Any, Any], tuple[Any, jax.Array]]
console = Console()


def read_text() -> np.ndarray:
    """Every module at the top of the standard library, one after another, as bytes."""
    library = Path(sysconfig.get_path("stdlib"))
    return np.frombuffer(b"".join(p.read_bytes() for p in sorted(library.glob("*.py"))), np.uint8)


def make_batches(text: np.ndarray) -> list[dict[str, np.ndarray]]:
    """One batch per step: windows of the text, and the same windows one byte later."""
    rng = np.random.default_rng(SEED)
    starts = rng.integers(len(text) - SEQUENCE_LENGTH, size=(NUM_STEPS, BATCH_SIZE, 1))
    windows = text[starts + np.arange(SEQUENCE_LENGTH + 1)].astype(np.int32)
    return [{"tokens": w[:, :-1], "targets": w[:, 1:]} for w in windows]


def train(
    name: str, step: Step, state: Any, batches: list[dict[str, np.ndarray]]
) -> tuple[list[float], Any]:
    """The loss of every step, and the state in the end."""
    losses: list[float] = []
    progress = Progress(
        TextColumn(f"{name:16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.0f} ms/step"),
        console=console,
    )
    with progress:
        task = progress.add_task("", total=len(batches), loss=float("nan"), rate=float("nan"))
        start = time.perf_counter()
        for batch in batches:
            state, loss = step(state, batch)
            losses.append(float(loss))
            rate = 1e3 * (time.perf_counter() - start) / len(losses)
            progress.update(task, advance=1, loss=losses[-1], rate=rate)
    return losses, state


def demo_cluster() -> alpa.Cluster:
    """The eight devices, as if each had little memory."""
    local = alpa.Cluster.local()
    return replace(local, device=replace(local.device, memory_bytes=MEMORY_BYTES))


def compare_predictions(executable: PipelineExecutable[Any]) -> None:
    """Prints what the plan predicted beside what XLA really does."""
    plan = executable.plan
    predicted, actual = plan.collective_bytes(), bytes_by_kind(executable.collectives())
    table = Table("of a step", "predicted", "measured")
    for kind in sorted({*predicted, *actual}):
        table.add_row(kind, kilobytes(predicted.get(kind, 0)), kilobytes(actual.get(kind, 0)))
    sent = executable.transfer_bytes()
    table.add_row("sent between stages", kilobytes(plan.transfer_bytes()), kilobytes(sent))
    memory = plan.memory_bytes, executable.memory_analysis()
    table.add_row("peak memory of a device", *(kilobytes(m) for m in memory))
    console.print(table)


def show_timeline(executable: PipelineExecutable[Any], state: Any, batch: Any) -> None:
    """Runs one more step and prints when its tasks ran."""
    timeline = executable.timeline(state, batch)
    assert timeline.planned is not None
    console.print("\nplanned:", to_text(timeline.planned), sep="\n", markup=False, highlight=False)
    console.print(
        "\nmeasured:", to_text(timeline.measured), sep="\n", markup=False, highlight=False
    )
    TRACE.parent.mkdir(exist_ok=True)
    timeline.save_trace(TRACE)
    TRACE.with_suffix(".svg").write_text(timeline.to_svg())
    console.print(f"\nin {TRACE} for ui.perfetto.dev, and as a picture beside it")


def kilobytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e3:,.0f} kB"


def compare(pipeline: list[float], single: list[float]) -> bool:
    """Prints both loss curves; whether they agree within the tolerances."""
    errors = np.abs(np.subtract(pipeline, single)) / np.abs(single)
    table = Table("step", "pipeline", "1 device", "relative difference")
    for i in [0, 1, 4, 9, *range(19, NUM_STEPS, 20)]:
        table.add_row(str(i + 1), f"{pipeline[i]:.5f}", f"{single[i]:.5f}", f"{errors[i]:.1e}")
    console.print(table)
    early, worst = errors[:NUM_EARLY_STEPS].max(), errors.max()
    console.print(f"largest difference in the first {NUM_EARLY_STEPS} steps: {early:.1e}", end="")
    console.print(
        f" (at most {EARLY_TOLERANCE:.0e}), in all: {worst:.1e} (at most {TOLERANCE:.0e})"
    )
    return bool(early <= EARLY_TOLERANCE and worst <= TOLERANCE and np.isfinite(worst))


def main() -> int:
    setup = workload("gpt", "1M", BATCH_SIZE, optax.adam(1e-3), sequence_length=SEQUENCE_LENGTH)
    text = read_text()
    batches = make_batches(text)
    console.print(f"text: {len(text) / 1e6:.1f} MB of Python source, {jax.device_count()} devices")

    step = alpa.parallelize(setup.train_step, alpa.Auto(), demo_cluster())
    start = time.perf_counter()
    executable = step.compile(*setup.abstract_arguments())
    seconds = time.perf_counter() - start
    print(executable.plan.explain())
    console.print(f"planned and compiled in {seconds:.0f} s")
    if not isinstance(executable, PipelineExecutable) or len(executable.plan.stages) < 2:
        console.print("[bold red]expected a plan of at least two stages")
        return 1
    compare_predictions(executable)

    state = alpa.create_state(setup.init_state, jax.random.key(SEED), like=step)
    pipeline, state = train("pipeline", step, state, batches)
    show_timeline(executable, state, batches[-1])
    single_step = jax.jit(setup.train_step, donate_argnums=0)
    init_state = jax.jit(setup.init_state)
    single, _ = train("one device", single_step, init_state(jax.random.key(SEED)), batches)
    if compare(pipeline, single):
        return 0
    console.print("[bold red]the pipeline does not follow the single-device run")
    return 1


if __name__ == "__main__":
    sys.exit(main())
