"""Plans for H100s against XLA's GPU compiler, without a GPU: collectives and memory.

    python benchmarks/validate_gpu.py --output FILE [--plan 'gpt2-*'] [--record]

Needs `pip install 'alpa_mlir[gpu-aot]'`. GPT (two layers checkpointed and unrolled, four scanned,
24), MoE, Wide-ResNet and MLP, each under five methods, on 8 and 64 H100s. Every plan is a line of
JSON in FILE; a plan that has one for this commit is not made again. Prints a table, and for every
miss what is supposed to cause it. Goals: collectives within 2 % in bytes for each; memory within
10 % for nine of ten, 7 % on average, 15 % at most, without XLA's latency-hiding scheduler. --record
keeps the errors for `Plan.explain()`.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import datetime
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import click
import jax.numpy as jnp
import optax
from alpa_mlir.errors import AlpaError
from alpa_mlir.models.workload import workload
from alpa_mlir.report.known_error import ErrorOf, known_error
from alpa_mlir.xla.comparison import StageMemory, farthest_off

MOST_COLLECTIVE_ERROR = 0.02
MEMORY_ERROR, MOST_MEMORY_ERROR, MEAN_MEMORY_ERROR = 0.10, 0.15, 0.07
ROOT = Path(__file__).parents[1]
KEPT = ROOT / "python/alpa_mlir/report/known_error.json"
COMMAND = "python benchmarks/validate_gpu.py"

METHODS = {
    "shard": alpa.ShardParallel,
    "data": alpa.DataParallel,
    "zero2": alpa.Zero2Parallel,
    "zero3": alpa.Zero3Parallel,
}


@dataclass(frozen=True)
class Case:
    """A model at a size, and how it is planned.

    Attributes:
      method: a key of METHODS, or "pipeline".
      mesh: its shape; None is the planner's choice.
    """

    model: str
    name: str
    size: str
    batch_size: int
    method: str
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])
    mesh: tuple[int, ...] | None = None
    num_nodes: int = 1
    num_microbatches: int = 4

    @property
    def plan_name(self) -> str:
        mesh = "-" + "x".join(map(str, self.mesh)) if self.mesh else ""
        return f"{self.name}-{self.method}{mesh}"

    def plan(self) -> alpa.Plan:
        optimizer = optax.adam(1e-3)
        work = workload(self.model, self.size, self.batch_size, optimizer, **self.overrides)
        cluster = alpa.Cluster.preset("dgx-h100", num_nodes=self.num_nodes)
        step = alpa.parallelize(work.train_step, self.make_method(), cluster)
        return step.plan(*work.abstract_arguments())

    def make_method(self) -> Any:
        if self.method != "pipeline":
            return METHODS[self.method](mesh_shape=self.mesh)
        return alpa.PipelineParallel(
            num_stages=2,
            num_microbatches=self.num_microbatches,
            allow_local_statistics=self.model == "wide_resnet",
            cache_dir=None,
            num_processes=0,
        )


BF16 = {"dtype": jnp.bfloat16}
GPT2 = {"num_layers": 2, **BF16}
GPT4 = {"num_layers": 4, **BF16}
UNROLLED, SCANNED = {"form": "unrolled"}, {"form": "scanned"}


def cases() -> Iterator[Case]:
    for method in (*METHODS, "pipeline"):
        mesh = None if method == "pipeline" else (8,)
        yield Case("gpt", "gpt2", "1.3B", 16, method, GPT2, mesh)
        yield Case("mlp", "mlp", "deep", 4096, method, {"num_layers": 4, "hidden_size": 8192}, mesh)
        yield Case("gpt", "gpt2-unrolled", "1.3B", 32, method, {**GPT2, **UNROLLED}, mesh)
        groups = {"group_size": 1024} if method == "pipeline" else {}
        yield Case("moe", "moe4", "380M", 16, method, {"num_layers": 4, **BF16, **groups}, mesh)
        blocks = {"blocks": (1, 1, 1, 1)}
        yield Case("wide_resnet", "wide_resnet", "250M", 64, method, blocks, mesh)
        gpt24 = {**GPT2, "num_layers": 24}
        yield Case("gpt", "gpt24", "1.3B", 32, method, gpt24, mesh, num_microbatches=8)
        for shape in [None] if method == "pipeline" else [(8, 8), (64,)]:
            yield Case("gpt", "gpt4-64", "1.3B", 64, method, GPT4, shape, num_nodes=8)
    for method in ("shard", "zero3"):
        yield Case("gpt", "gpt4-scanned", "1.3B", 16, method, {**GPT4, **SCANNED}, (8,))
    for shape in ((2, 4), (2, 2, 2)):
        yield Case("gpt", "gpt2", "1.3B", 16, "shard", GPT2, shape)
    for name, model, size, batch, overrides in (
        ("mlp", "mlp", "deep", 4096, {"num_layers": 4, "hidden_size": 8192}),
        ("moe4", "moe", "380M", 16, {"num_layers": 4, **BF16}),
        ("wide_resnet", "wide_resnet", "250M", 64, {"blocks": (1, 1, 1, 1)}),
    ):
        yield Case(model, name, size, batch, "shard", overrides, (2, 4))


# Of misses, by plan: what is supposed to cause them. Nobody has shown it, by a model without the
# cause and without the miss.
SUPPOSED_CAUSES: dict[str, str] = {
    "mlp-shard-8": "perhaps XLA gives the result of an elementwise op the place of an operand that "
    "ends there; the plan has both (134 of 168 MB)",
    "mlp-zero2-8": "perhaps XLA starts gathers of activations that the backward pass needs early, "
    "so that three live at once where the plan has one (268 MB)",
}


# --- Records ---


def commit() -> str:
    """With a mark where files differ from it: then nothing is known to be of the same code."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


def read_records(path: Path, of: str) -> dict[str, dict[str, Any]]:
    """Those of this commit by plan; lines that were cut off are as if they were not there."""
    records: dict[str, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["commit"] == of:
            records[record["plan"]] = record
    return records


def measure(case: Case) -> dict[str, Any]:
    start = time.perf_counter()
    record: dict[str, Any] = {"plan": case.plan_name}
    try:
        plan = case.plan()
        record["planning_seconds"] = time.perf_counter() - start
        record["step_seconds"] = plan.step_seconds
        record["validation"] = plan.validate().to_json()
    except AlpaError as error:
        record["failure"] = f"{type(error).__name__}: {error}"
    return record


# --- Report ---


def line(record: dict[str, Any]) -> str:
    name = f"{record['plan']:28}"
    if "failure" in record:
        return f"{name}{record['failure'][:90]}"
    found = record["validation"]
    predicted, actual = collective_bytes(record)
    memory = "; ".join(
        f"{each.predicted_bytes / 1e6:8.0f} {each.needed_bytes / 1e6:8.0f} "
        f"{each.error:+6.1%} {each.actual_bytes / 1e6:8.0f}"
        for each in memory_of(record)
    )
    return (
        f"{name}{predicted / 1e6:9.1f}{actual / 1e6:9.1f} {found['collective_error']:+7.2%}  "
        f"{memory}  {record['step_seconds'] * 1e3:7.2f} ms  {found['seconds']:4.0f} s"
        + (f"  {len(found['warnings'])} warnings" if found["warnings"] else "")
    )


def collective_bytes(record: dict[str, Any]) -> tuple[int, int]:
    """Predicted and actual."""
    found = record["validation"]["collectives"]
    return sum(c["predicted_bytes"] for c in found), sum(c["actual_bytes"] for c in found)


def memory_of(record: dict[str, Any]) -> list[StageMemory]:
    return [StageMemory(**each) for each in record["validation"]["memory"]]


def misses(record: dict[str, Any]) -> Iterator[str]:
    """What is farther off than the goals, and why."""
    if "failure" in record:
        yield f"{record['plan']}: {record['failure']}"
        return
    found = record["validation"]
    if abs(found["collective_error"]) > MOST_COLLECTIVE_ERROR:
        for each in found["collectives"]:
            for text in each["unmatched"]:
                where = f"{each['kind']} over {each['axes']} of stage {each['stage']}"
                yield f"{record['plan']}: {where}: {text}"
    for memory in memory_of(record):
        if abs(memory.error) > MEMORY_ERROR:
            cause = SUPPOSED_CAUSES.get(record["plan"], "cause not found")
            yield f"{record['plan']}: memory of stage {memory.stage} {memory.error:+.1%}: {cause}"
    for warning in found["warnings"]:
        yield f"{record['plan']}: XLA {warning}"


def error_of(pairs: Iterable[tuple[int, int]]) -> ErrorOf:
    """Of predicted and actual bytes."""
    against = f"plans compiled by jaxlib {version('jaxlib')} for NVIDIA H100s"
    return ErrorOf.of(pairs, against, datetime.date.today().isoformat(), COMMAND)


@click.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--plan", "patterns", multiple=True, help="Such as 'mlp-*'. Default: all.")
@click.option("--record", "is_kept", is_flag=True, help="Keep the errors for Plan.explain().")
def main(output: Path, patterns: tuple[str, ...], is_kept: bool) -> None:
    """Validates plans, those first that have no line in the file yet."""
    of = commit()
    records = read_records(output, of)
    wanted = [c for c in cases() if any(fnmatch(c.plan_name, p) for p in patterns or ("*",))]
    print(f"{of}; collectives MB predicted, actual; memory MB predicted, needed, with hiding")
    for case in wanted:
        if case.plan_name not in records:
            records[case.plan_name] = {"commit": of, **measure(case)}
            with output.open("a") as file:
                file.write(json.dumps(records[case.plan_name]) + "\n")
        print(line(records[case.plan_name]), flush=True)
    chosen = [records[case.plan_name] for case in wanted]
    for record in chosen:
        for text in misses(record):
            print(f"miss: {text}")
    compiled = [record for record in chosen if "validation" in record]
    if not compiled:
        sys.exit(1)
    worst_stages = [farthest_off(memory_of(record)) for record in compiled]
    near = sum(abs(each.error) <= MEMORY_ERROR for each in worst_stages)
    collectives = error_of(collective_bytes(record) for record in compiled)
    memory = error_of((each.predicted_bytes, each.needed_bytes) for each in worst_stages)
    print(
        f"{len(compiled)} plans: collectives at most {collectives.worst:.2%}; memory "
        f"{memory.mean:.1%} on average, at most {memory.worst:.1%}, {near} within "
        f"{MEMORY_ERROR:.0%}"
    )
    if is_kept:
        replace(known_error(), collectives=collectives, memory=memory).save(KEPT)
    is_good = (
        len(compiled) == len(chosen)
        and collectives.worst <= MOST_COLLECTIVE_ERROR
        and near >= 0.9 * len(compiled)
        and memory.mean <= MEAN_MEMORY_ERROR
        and memory.worst <= MOST_MEMORY_ERROR
    )
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
