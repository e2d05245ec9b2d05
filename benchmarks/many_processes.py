"""What a step of one plan takes in one process and in several.

python benchmarks/many_processes.py plan.json      (4 virtual devices: plans, saves, measures)
alpa-run --processes 2 --devices-per-process 2 benchmarks/many_processes.py plan.json
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
import alpa_mlir as alpa

alpa.initialize()

import jax
import optax
from alpa_mlir.models.workload import workload
from alpa_mlir.runtime.pipeline import PipelineExecutable

_NUM_STEPS = 60


def main(file: Path) -> None:
    model = workload("gpt", "debug", 8, optax.adamw(1e-3), hidden_size=256)
    method = alpa.PipelineParallel(
        num_stages=2, num_microbatches=4, num_layers=2, schedule="1f1b", target_gap=0.1
    )
    fixed = alpa.FixedPlan(alpa.Plan.load(file)) if file.exists() else method
    step = alpa.parallelize(model.train_step, fixed)
    state = model.init_state(jax.random.key(0))
    batch = jax.device_get(model.example_batch(jax.random.key(1)))
    begin = time.perf_counter()
    executable = step.compile(state, batch)
    compile_seconds = time.perf_counter() - begin
    assert isinstance(executable, PipelineExecutable)
    if not file.exists():
        executable.plan.save(file)
    whole: list[float] = []
    issuing: list[float] = []
    for _ in range(_NUM_STEPS):
        begin = time.perf_counter()
        state, loss = step(state, batch)
        issuing.append(time.perf_counter() - begin)
        loss.block_until_ready()
        whole.append(time.perf_counter() - begin)
    num_issued = len(executable.driver.issued)
    print(
        f"{executable.transport}: {compile_seconds:.1f} s to plan and compile "
        f"{len(set(executable.compiled.values()))} executables, "
        f"{median(whole) * 1e3:.1f} ms a step (least {min(whole) * 1e3:.1f}), {num_issued} "
        f"instructions, {median(issuing) / num_issued * 1e6:.0f} us each to issue "
        f"(least {min(issuing) / num_issued * 1e6:.0f})"
    )


main(Path(sys.argv[1]))
