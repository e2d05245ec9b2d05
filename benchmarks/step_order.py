"""Are plans priced in the order in which their steps run? On the devices of this process.

    python benchmarks/step_order.py [--profile FILE] [--output FILE]

GPT, MoE and an MLP are planned on 8 devices (virtual ones of the CPU, unless JAX has others) under
ShardParallel, DataParallel and ZeRO, and run. For each pair of methods of a model whose measured
steps differ by more than 10 %, the predicted order must be the measured one; exits with 1 if one
is not. Make a profile first (`alpa-plan profile`, with the same number of devices): without one,
prices of virtual CPU devices are made up.
"""

import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("NPROC", "32")

import datetime
import json
import math
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import click
import jax
import optax
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.stations import Lowered

METHODS = {
    "shard": alpa.ShardParallel,
    "data": alpa.DataParallel,
    "zero2": alpa.Zero2Parallel,
    "zero3": alpa.Zero3Parallel,
}
NUM_STEPS = 12
SAME = 1.10  # steps within this factor have no order


def models() -> dict[str, Workload]:
    adam = optax.adam(1e-3)
    return {
        "gpt": workload("gpt", "1M", 8, adam),
        "moe": workload("moe", "debug", 64, adam, hidden_size=128, sequence_length=64),
        "mlp": workload("mlp", "debug", 512, adam, hidden_size=512),
    }


def measure(work: Workload, cluster: alpa.Cluster) -> dict[str, tuple[float, float]]:
    """Predicted and measured seconds of a step by method. The methods take turns, so that what else
    the machine does slows them alike, and the shortest step counts."""
    lowered: dict[str, Lowered] = {}
    for name, method in METHODS.items():
        step = alpa.parallelize(work.train_step, method(), cluster)
        one = step.lower(*work.abstract_arguments())
        assert isinstance(one, Lowered)
        lowered[name] = one
    executables = {name: one.compile() for name, one in lowered.items()}
    states = {name: work.init_state(jax.random.key(0)) for name in METHODS}
    batch = work.example_batch(jax.random.key(1))
    shortest = dict.fromkeys(METHODS, math.inf)
    for number in range(NUM_STEPS + 1):
        for name, executable in executables.items():
            start = time.perf_counter()
            states[name], loss = executable(states[name], batch)
            jax.block_until_ready((states[name], loss))
            if number:  # the first places the arguments
                shortest[name] = min(shortest[name], time.perf_counter() - start)
    return {name: (lowered[name].plan.step_seconds, shortest[name]) for name in METHODS}


def wrong_pairs(steps: dict[str, tuple[float, float]]) -> list[str]:
    return [
        f"{one} and {other}"
        for one, other in combinations(steps, 2)
        if max(steps[one][1], steps[other][1]) > SAME * min(steps[one][1], steps[other][1])
        and (steps[one][0] - steps[other][0]) * (steps[one][1] - steps[other][1]) < 0
    ]


@click.command()
@click.option("--profile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path))
def main(profile: Path | None, output: Path | None) -> None:
    """Prints predicted and measured milliseconds of every step, and pairs in the wrong order."""
    cluster = alpa.Cluster.local(profile)
    efficiency = cluster.device.efficiency
    print(f"priced by: {efficiency.source if efficiency else 'peaks'}")
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "device": f"{cluster.num_devices} x {cluster.device.kind}",
        "jax": jax.__version__,
        "priced_by": efficiency.source if efficiency else "peaks",
        "errors": {e.op_class: [e.mean, e.worst] for e in efficiency.errors} if efficiency else {},
        "steps": {},
    }
    is_right = True
    for name, work in models().items():
        steps = measure(work, cluster)
        wrong = wrong_pairs(steps)
        is_right &= not wrong
        for method, (predicted, measured) in steps.items():
            print(f"{name:6}{method:8}{predicted * 1e3:10.2f}{measured * 1e3:10.2f} ms", flush=True)
        print(f"{name:6}in the wrong order: {', '.join(wrong) or 'none'}", flush=True)
        report["steps"][name] = steps
    if output is not None:
        output.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
