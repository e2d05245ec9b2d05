"""Today's prices against the seconds that one H200 took for one device's part of plans.

    python benchmarks/h200_seconds.py [--record]

No GPU is needed: `tests/gpu/stage_seconds.py` measured, and what it measured is in
`benchmarks/results`. The steps are planned anew, for H200s. A plan may be another one than was
measured, so that this is an estimate; work is split evenly in both. --record keeps the error for
`Plan.explain()`.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from dataclasses import replace
from typing import Any

import alpa_mlir as alpa
import click
from alpa_mlir.report.known_error import ErrorOf, known_error
from alpa_mlir.xla.comparison import relative_error
from gpu.stage_seconds import CASES, Case, communication_seconds

RESULTS = ROOT / "benchmarks/results/2026-11-27-h200-stage-seconds.json"
KEPT = ROOT / "python/alpa_mlir/report/known_error.json"


def predicted_seconds(plan: alpa.Plan) -> list[float]:
    """Of computing, by part as they were measured: a stage, or the whole step."""
    if not plan.is_pipeline:
        return [plan.step_seconds - communication_seconds(plan.collectives)]
    return [
        plan.num_microbatches * (stage.forward_seconds + stage.backward_seconds)
        + stage.update_seconds
        - communication_seconds(stage.collectives)
        for stage in plan.stages
    ]


def plan_of(case: Case, cluster: alpa.Cluster) -> alpa.Plan:
    work = case.workload(None)
    step = alpa.parallelize(work.train_step, case.method, cluster)
    return step.plan(*work.abstract_arguments())


@click.command()
@click.option("--record", "is_kept", is_flag=True, help="Keep the error for Plan.explain().")
def main(is_kept: bool) -> None:
    """Prints predicted and measured milliseconds of each part."""
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    measured = {each["name"]: each["parts"] for each in results["cases"]}
    cluster = alpa.Cluster.preset("dgx-h200")
    pairs: list[tuple[float, float]] = []
    for case in CASES:
        if case.name not in measured:
            continue
        predicted = predicted_seconds(plan_of(case, cluster))
        for part, seconds in zip(measured[case.name], predicted, strict=True):
            pairs.append((seconds, part["measured_seconds"]))
            error = relative_error(*pairs[-1])
            milliseconds = f"{seconds * 1e3:9.3f}{part['measured_seconds'] * 1e3:9.3f} ms"
            print(f"{case.name:22}{part['part']:10}{milliseconds} {error:+.1%}", flush=True)
    against = f"parts of plans run on one {results['device']}"
    found = ErrorOf.of(pairs, against, results["date"], "python benchmarks/h200_seconds.py")
    print(f"{found.count} parts: {found.mean:.1%}, at most {found.worst:.1%}")
    if is_kept:
        replace(known_error(), seconds=found).save(KEPT)


if __name__ == "__main__":
    main()
