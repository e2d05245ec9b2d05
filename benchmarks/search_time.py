"""How long the search for a pipeline takes at the size of papers: from Python function to plan.

    python benchmarks/search_time.py [--case NAME]... [--processes 2]

GPT of Alpa's evaluation on p3.16xlarge and Llama 405B on H100s (issue goals for two cores, without
a cache of costs). Every case runs in a process of its own. Printed: seconds in all and by phase,
the largest memory of that process and of the largest process it started, and the plan's step.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

import alpa_mlir as alpa
import click
import jax.numpy as jnp
import optax
from alpa_mlir.models.workload import workload
from alpa_mlir.units import format_bytes, format_seconds
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Case:
    model: str
    size: str
    batch_size: int
    preset: str
    num_nodes: int
    num_microbatches: int | Literal["auto"]
    goal_seconds: float


GPT = {
    "2.6B on 8": Case("gpt", "2.6B", 1024, "p3.16xlarge", 1, "auto", 15),
    "39B on 64, 1024 microbatches": Case("gpt", "39B", 1024, "p3.16xlarge", 8, 1024, 30),
    "39B on 64": Case("gpt", "39B", 1024, "p3.16xlarge", 8, "auto", 60),
}
CASES = {**GPT, "405B on 1024": Case("llama", "405B", 512, "dgx-h100", 128, "auto", 120)}


def measure(case: Case, num_processes: int) -> dict[str, Any]:
    """Of this process, which has done nothing else."""
    # float16 as in the paper; Llama's is bfloat16 by itself.
    dtype = {"dtype": jnp.float16} if case.model == "gpt" else {}
    made = workload(case.model, case.size, case.batch_size, optax.adam(1e-3), **dtype)
    method = alpa.Auto(
        num_microbatches=case.num_microbatches, cache_dir=None, num_processes=num_processes
    )
    cluster = alpa.Cluster.preset(case.preset, num_nodes=case.num_nodes)
    step = alpa.parallelize(made.train_step, method=method, cluster=cluster)
    start = time.perf_counter()
    plan = step.plan(*made.abstract_arguments())
    return {
        "seconds": time.perf_counter() - start,
        "phases": step.stopwatch.seconds,
        "bytes": _peak_bytes(resource.RUSAGE_SELF),
        "bytes_of_workers": _peak_bytes(resource.RUSAGE_CHILDREN),
        "step_seconds": plan.step_seconds,
        "stages": len(plan.stages),
        "microbatches": plan.num_microbatches,
        "schedule": plan.schedule,
    }


def _peak_bytes(who: int) -> int:
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _in_a_process(name: str, num_processes: int) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, __file__, "--measure", name, "--processes", str(num_processes)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])


@click.command()
@click.option(
    "--case", "names", multiple=True, type=click.Choice(list(CASES)), help="All unless named."
)
@click.option("--processes", "num_processes", default=2, help="That solve sharding problems.")
@click.option("--measure", "measured", hidden=True, type=click.Choice(list(CASES)))
def main(names: tuple[str, ...], num_processes: int, measured: str | None) -> None:
    """Prints a table of planning times beside their goals."""
    if measured:
        print(json.dumps(measure(CASES[measured], num_processes)))
        return
    table = Table("case", "seconds", "goal", "phases", "memory", "plan")
    for name in names or CASES:
        found = _in_a_process(name, num_processes)
        phases = sorted(found["phases"].items(), key=lambda phase: -phase[1])
        table.add_row(
            name,
            f"{found['seconds']:.1f}",
            f"{CASES[name].goal_seconds:g}",
            "\n".join(f"{phase} {seconds:.1f}" for phase, seconds in phases if seconds >= 0.5),
            f"{format_bytes(found['bytes'])}, worker {format_bytes(found['bytes_of_workers'])}",
            f"{format_seconds(found['step_seconds'])}, {found['stages']} stages, "
            f"{found['microbatches']} microbatches, {found['schedule']}",
        )
        table.add_section()
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
