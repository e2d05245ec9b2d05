"""How long the time-energy frontier of Perseus' published profile takes, beside the reference.

    python benchmarks/energy_frontier.py [--reference] [--reference-microbatches 12] [--results F]

The reference is `lowtime` 0.3.0 (PyPI, extra `benchmark`), which plans 1F1B; both get the same
profile and the same fit of it, and all points are compared. Goals on one core: 12 microbatches in
0.1 s, 48 in 1 s, 96 with a unit of 0.1 ms in 10 s, and at most 500 MB. Also said: what the plan at
the fastest point saves, and its gap to the bound.
"""

from __future__ import annotations

import json
import platform
import resource
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from alpa_mlir._native import Relaxation
from alpa_mlir.energy.frontier import EnergyFrontier
from alpa_mlir.energy.problem import EnergyStep, StepProblem, make_problem
from alpa_mlir.energy.profile import EnergyProfile
from alpa_mlir.schedule.schedule import Task

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "perseus"
PROFILE = DATA / "gpt3-175b+a100_sxm_bf16.csv"  # from the artifact of the paper
BLOCKING_WATTS = 83.64
# Microbatches, unit in seconds, goal in seconds.
CASES = ((12, 0.001, 0.1), (48, 0.001, 1.0), (96, 0.001, None), (96, 0.0001, 10.0))
_MOST_MEGABYTES = 500


@click.command()
@click.option("--profile", "path", default=PROFILE, type=click.Path(path_type=Path))
@click.option("--reference", is_flag=True, help="Run lowtime as well.")
@click.option("--reference-microbatches", multiple=True, default=(12,), show_default=True, type=int)
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path))
def main(
    path: Path, reference: bool, reference_microbatches: tuple[int, ...], results: Path | None
) -> None:
    profile = EnergyProfile.load(path, BLOCKING_WATTS)
    rows = [
        _row(profile, count, unit, goal, reference and count in reference_microbatches)
        for count, unit, goal in CASES
    ]
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    click.echo(f"peak memory {megabytes:.0f} MB, goal {_MOST_MEGABYTES}")
    if results:
        machine = {"machine": platform.processor() or platform.machine(), "memory_mb": megabytes}
        results.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n")


def _row(
    profile: EnergyProfile, num_microbatches: int, unit: float, goal: float | None, beside: bool
) -> dict[str, Any]:
    step = EnergyStep(profile, "1f1b", profile.num_stages, num_microbatches, unit)
    made = make_problem(step)
    begin = time.process_time()
    tradeoff = made.problem.solve(Relaxation.EXPONENTIAL)
    seconds = time.process_time() - begin
    row: dict[str, Any] = {
        "microbatches": num_microbatches,
        "unit_seconds": unit,
        "points": len(tradeoff.joules) - 1,
        "seconds": seconds,
        "goal_seconds": goal,
    }
    if unit == 0.001:
        frontier = EnergyFrontier(step, made, tradeoff)
        plan = frontier.plan(frontier.fastest)
        fastest = made.problem.replay(made.problem.fastest())
        row |= {
            "saved": 1 - plan.joules / fastest.joules,
            "slowdown": plan.seconds / fastest.makespan_seconds - 1,
            "gap": plan.gap,
            "saved_by_rounding": 1 - plan.rounded_joules / fastest.joules,
            "slowdown_by_rounding": plan.rounded_seconds / fastest.makespan_seconds - 1,
        }
    if beside:
        row |= _compare(made, tradeoff.joules, seconds)
    click.echo("  ".join(f"{name} {value}" for name, value in row.items()))
    return row


def _compare(made: StepProblem, joules: list[float], seconds: float) -> dict[str, Any]:
    reference_seconds, reference = run_reference(made)
    worst = max(abs(ours / theirs - 1) for ours, theirs in zip(joules[1:], reference, strict=True))
    return {
        "reference_seconds": reference_seconds,
        "ratio": reference_seconds / seconds,
        "worst_difference": worst,
    }


def run_reference(made: StepProblem) -> tuple[float, list[float]]:
    """Seconds of its solver, and the sum of effective joules at each of its points."""
    nx, graphs = import_module("networkx"), import_module("lowtime.graph_utils")
    operations, solver = import_module("lowtime.operation"), import_module("lowtime.solver")
    problem = made.problem
    curves = problem.curves(Relaxation.EXPONENTIAL)
    unit = problem.unit_seconds

    def operation(index: int, task: Task | None) -> Any:
        curve = curves[index]
        ends = {curve.min_units: curve.joules[0], curve.max_units: curve.joules[-1]}
        # The middle of a unit, so that no rounding falls below it.
        options = [
            operations.ExecutionOption((units + 0.5) * unit, unit, cost, units)
            for units, cost in ends.items()
        ]
        candidates = operations.CandidateExecutionOptions(options)
        return operations.Operation(
            operations.OperationSpec(candidates, lambda t: curve.joules[t - curve.min_units])
        )

    dag = nx.DiGraph()
    for index, task in enumerate(made.tasks):
        dag.add_node(index + 2, op=operation(index, task))
    dag.add_edges_from((before + 2, after + 2) for before, after in problem.dependencies)
    graphs.add_source_node(dag, 0)
    graphs.add_sink_node(dag, 1)
    dag.graph.update(source_node=0, sink_node=1)
    begin = time.process_time()
    points = [result.cost for result in solver.PhillipsDessouky(dag).run()]
    return time.process_time() - begin, points


if __name__ == "__main__":
    main()
