"""A byte-level GPT learns Python on eight virtual CPU devices, sharded automatically.

`make demo` runs this. The text is the standard library's own source; the training step is plain
JAX. The plan is printed before training, and afterwards the losses beside those of one device
from the same seed: they must agree, or the exit code is 1.
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
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import numpy as np
import optax
from alpa_mlir.lower.collectives import bytes_by_kind
from alpa_mlir.models.workload import workload
from alpa_mlir.stages import Executable
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

NUM_STEPS = 200
BATCH_SIZE = 8
SEQUENCE_LENGTH = 128
SEED = 0

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


def train(name: str, step: Step, state: Any, batches: list[dict[str, np.ndarray]]) -> list[float]:
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
    return losses


def compare_collectives(executable: Executable) -> None:
    """Prints what the plan predicted beside what XLA really does."""
    predicted = executable.plan.collective_bytes()
    actual = bytes_by_kind(executable.collectives())
    table = Table("per device and step", "predicted", "in the optimised HLO")
    for kind in sorted({*predicted, *actual}):
        table.add_row(kind, kilobytes(predicted.get(kind, 0)), kilobytes(actual.get(kind, 0)))
    memory = executable.plan.memory_bytes, executable.memory_analysis()
    table.add_row("peak memory", *(kilobytes(m) for m in memory))
    console.print(table)


def kilobytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e3:,.0f} kB"


def compare(sharded: list[float], single: list[float]) -> bool:
    """Prints both loss curves; whether they agree within the tolerances."""
    errors = np.abs(np.subtract(sharded, single)) / np.abs(single)
    table = Table("step", f"{NUM_DEVICES} devices", "1 device", "relative difference")
    for i in [0, 1, 4, 9, *range(19, NUM_STEPS, 20)]:
        table.add_row(str(i + 1), f"{sharded[i]:.5f}", f"{single[i]:.5f}", f"{errors[i]:.1e}")
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

    step = alpa.parallelize(setup.train_step, method=alpa.ShardParallel())
    state, batch = setup.abstract_arguments()
    executable = step.compile(state, batch)
    print(executable.plan.explain())
    compare_collectives(executable)

    init_state = jax.jit(setup.init_state)
    sharded = train("eight devices", step, init_state(jax.random.key(SEED)), batches)
    single_step = jax.jit(setup.train_step, donate_argnums=0)
    single = train("one device", single_step, init_state(jax.random.key(SEED)), batches)
    if compare(sharded, single):
        return 0
    console.print("[bold red]the sharded run does not follow the single-device run")
    return 1


if __name__ == "__main__":
    sys.exit(main())
