"""What becomes of files in which one thing was changed: all works, or one AlpaError says why not.

In a process of its own, which says what it is about to do, so that a signal has a name, too:

    python -W error -m oracles.mutated_files KIND FIRST_SEED END_SEED FOLDER
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
from alpa_mlir.cli.solve import main
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import AlpaError, PassError
from alpa_mlir.intra_op.shard import normalize, shard
from alpa_mlir.simulate.drawing import save_simulation_trace, to_svg
from click.testing import CliRunner
from programs.small_programs import Program
from programs.training_steps import STEPS

from oracles.mutations import as_text, mutated

CLUSTER = replace(
    alpa.Cluster.preset("dgx-h100"), num_nodes=1, devices_per_node=4, name="half a node"
)
PIPELINE = alpa.PipelineParallel(
    num_stages=2,
    num_microbatches=4,
    num_layers=2,
    num_processes=0,
    cache_dir=None,
    time_limit_seconds=60,
    target_gap=0.05,
)
WHOLE = alpa.ShardParallel(target_gap=0.05)


@dataclass(frozen=True)
class Subject:
    """Files of one kind, and what is done with one of them."""

    data: Any
    use: Callable[[Path], None]


def outcomes(kind: str, seeds: range, folder: Path) -> list[str]:
    """What was changed and the error, or "fine", by seed.

    Raises:
      AssertionError: something else happened, and to what seed and change.
    """
    command = [sys.executable, "-W", "error", "-m", "oracles.mutated_files", kind]
    child = subprocess.run(
        [*command, str(seeds.start), str(seeds.stop), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=len(seeds) * 60,
    )
    lines = child.stdout.splitlines()
    if child.returncode != 0:
        raise AssertionError(
            f"{kind}, {lines[-1:]}: exit code {child.returncode}\n{child.stderr[-3000:]}"
        )
    return lines


def _main(kind: str, first: str, end: str, folder: str) -> None:
    used = subject(kind)
    for seed in range(int(first), int(end)):
        print(f"seed {seed}: ", end="", flush=True)
        source = random.Random(seed)
        data, change = mutated(used.data, source)
        print(change, end=": ", flush=True)
        file = Path(folder) / "mutated.json"
        file.write_text(as_text(data, source))
        try:
            used.use(file)
        except AlpaError as error:
            print(f"{type(error).__name__}: {_one_line(error)}", flush=True)
        else:
            print("fine", flush=True)


def _one_line(error: AlpaError) -> str:
    """Those of the compiler are MLIR's diagnostics, which have several."""
    text = str(error)
    assert isinstance(error, PassError) or "\n" not in text, text
    return text.replace("\n", " ")


@cache
def subject(name: str) -> Subject:
    """By the name of its kind: "whole", "pipeline", "cluster" or "problem"."""
    match name:
        case "whole":
            step = STEPS["mean_loss_sgd"]
            return Subject(_plan(step, WHOLE), partial(_use_plan, step))
        case "pipeline":
            step = STEPS["everything"]
            data = _plan(step, PIPELINE)
            assert data["prologue"]
            return Subject(data, partial(_use_plan, step))
        case "cluster":
            return Subject(CLUSTER.to_json(), _use_cluster)
        case _:
            return Subject(_problem(STEPS["mean_loss_sgd"]), _use_problem)


def _plan(step: Program, method: alpa.ShardParallel | alpa.PipelineParallel) -> Any:
    plan = alpa.parallelize(step.function, method, CLUSTER).plan(*step.arguments)
    data = plan.to_json()
    assert alpa.Plan.from_json(json.loads(json.dumps(data))) == plan
    return json.loads(json.dumps(data))


def _problem(step: Program) -> Any:
    text = alpa.parallelize(step.function, WHOLE, CLUSTER).trace(*step.arguments).program.text
    sharded = shard(normalize(text), LogicalMesh.of_shape((2, 2)), CLUSTER)
    return json.loads(sharded.model.problem.to_json())


def _use_plan(step: Program, file: Path) -> None:
    """Reads, shows, saves and lowers it."""
    plan = alpa.Plan.load(file)
    plan.explain()
    if plan.is_pipeline:
        simulation = plan.simulate()
        to_svg({"planned": simulation.timeline})
        save_simulation_trace(file.parent / "trace.json", simulation)
    again = file.parent / "again.json"
    plan.save(again)
    assert alpa.Plan.load(again) == plan
    alpa.parallelize(step.function, alpa.FixedPlan(plan)).lower(*step.arguments)


def _use_cluster(file: Path) -> None:
    """Reads, saves and plans for it."""
    cluster = alpa.Cluster.load(file)
    again = file.parent / "again.json"
    cluster.save(again)
    assert alpa.Cluster.load(again) == cluster
    step = STEPS["mean_loss_sgd"]
    for method in (WHOLE, PIPELINE):
        alpa.parallelize(step.function, method, cluster).plan(*step.arguments).explain()


def _use_problem(file: Path) -> None:
    """Solves it as `alpa-solve` does, whose refusals are one line and write nothing."""
    answer = file.parent / "answer.json"
    answer.unlink(missing_ok=True)
    arguments = [str(file), "--output", str(answer), "--quiet", "--time-limit", "2"]
    result = CliRunner().invoke(main, arguments)
    if result.exit_code == 0:
        assert answer.exists()
        return
    assert isinstance(result.exception, SystemExit), result.exception
    assert not answer.exists()
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    raise AlpaError(line)


if __name__ == "__main__":
    _main(*sys.argv[1:])
