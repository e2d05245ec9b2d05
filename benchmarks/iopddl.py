"""Our solver on instances of the IOPDDL contest, beside HiGHS alone and CP-SAT alone.

    python benchmarks/iopddl.py --instances DIR [--only B,G] [--time-limit 60] [--solvers ours]

Prints a table: size, size after the exact reductions, our cost, the best cost known, our bound and
gap, seconds until the best answer and in all, peak memory; then cost and bound of HiGHS on the ILP
of the whole problem, and of OR-tools CP-SAT. All have the same limit: the contest's (from
`anchors.csv` beside the instances, as the best known cost), or --time-limit. Every solver runs in a
process of its own: highspy and ortools cannot be imported into one, and peak memory is a process's.
`--results DIR` keeps everything as JSON, with date, machine and versions. OR-tools comes with
`pip install alpa_mlir[benchmark]`.
"""

import csv
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import numpy as np
from alpa_mlir._native import BLOCKED_COST, CoreProblem, ReducibleProblem, ShardingProblem
from alpa_mlir.cli.solve import load_problem
from rich.console import Console
from rich.table import Table

Result = dict[str, Any]

DEFAULT_TIME_LIMIT = 60.0
NUM_THREADS = 2


def run_ours(file: Path, time_limit: float) -> Result:
    from alpa_mlir.intra_op.solve import solve

    start = time.monotonic()
    problem = load_problem(file)
    reading = time.monotonic() - start
    solution = solve(problem, time_limit_seconds=time_limit - reading, num_threads=NUM_THREADS)
    solution.verify()
    seconds = time.monotonic() - start
    to_best = next(point.seconds for point in solution.trace if point.cost == solution.cost)
    return {
        "nodes": problem.num_nodes,
        "edges": problem.num_edges,
        "reduced": reduced_size(problem),
        "cost": solution.cost,
        "bound": solution.lower_bound,
        "seconds_to_best": reading + to_best,
        "seconds": seconds,
    }


def reduced_size(problem: ShardingProblem) -> int:
    reduced = ReducibleProblem(problem)
    reduced.reduce()
    return len(reduced.core_nodes())


def run_highs(file: Path, time_limit: float) -> Result:
    from alpa_mlir.intra_op.ilp import Ilp

    start = time.monotonic()
    problem = load_problem(file)
    whole = ReducibleProblem(problem)  # parallel edges joined, nothing reduced
    ilp = Ilp(whole.core())
    result = ilp.solve(time_limit_seconds=time_limit - (time.monotonic() - start))
    bound = result.lower_bound if np.isfinite(result.lower_bound) else None
    if result.choices is None:
        return {"cost": None, "bound": bound}
    judged = problem.evaluate(whole.expand(result.choices.tolist()))
    return {"cost": judged.cost if judged.is_feasible else None, "bound": bound}


def run_cp_sat(file: Path, time_limit: float) -> Result:
    from ortools.sat.python import cp_model  # pyright: ignore[reportMissingImports]

    start = time.monotonic()
    problem = load_problem(file)
    whole = ReducibleProblem(problem)
    core = whole.core()
    model, strategies = cp_sat_model(core)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = NUM_THREADS
    solver.parameters.max_time_in_seconds = max(time_limit - (time.monotonic() - start), 0.01)
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return {"cost": None, "bound": solver.best_objective_bound}
    choices = [next(p for p, s in enumerate(node) if solver.value(s)) for node in strategies]
    judged = problem.evaluate(whole.expand(choices))
    return {
        "cost": judged.cost if judged.is_feasible else None,
        "bound": solver.best_objective_bound + core.constant_cost,
    }


def cp_sat_model(core: CoreProblem) -> tuple[Any, list[list[Any]]]:
    """One Boolean per strategy and per costly pair, a cumulative constraint for memory."""
    from ortools.sat.python import cp_model  # pyright: ignore[reportMissingImports]

    model = cp_model.CpModel()
    sizes = np.diff(core.node_offsets)
    strategies = [[model.new_bool_var("") for _ in range(size)] for size in sizes]
    terms: list[Any] = []
    coefficients: list[int] = []
    for node, own in enumerate(strategies):
        model.add_exactly_one(own)
        costs = core.node_costs[core.node_offsets[node] : core.node_offsets[node + 1]].tolist()
        for strategy, cost in zip(own, costs, strict=True):
            if cost >= BLOCKED_COST:
                model.add(strategy == 0)
            elif cost:
                terms.append(strategy)
                coefficients.append(cost)
    for edge, (first, second) in enumerate(zip(core.edge_first, core.edge_second, strict=True)):
        costs = core.edge_costs[core.edge_offsets[edge] : core.edge_offsets[edge + 1]]
        table = costs.reshape(sizes[first], sizes[second])
        for p, q in np.argwhere(table > 0).tolist():
            either = [~strategies[first][p], ~strategies[second][q]]
            if table[p, q] < BLOCKED_COST:
                pair = model.new_bool_var("")
                either.append(pair)
                terms.append(pair)
                coefficients.append(int(table[p, q]))
            model.add_bool_or(either)
    intervals: list[Any] = []
    demands: list[Any] = []
    for segment, node in enumerate(core.segment_node.tolist()):
        begin, end = int(core.segment_begin[segment]), int(core.segment_end[segment])
        at = core.segment_offsets[segment]
        usages = core.segment_usages[at : at + sizes[node]].tolist()
        demand = model.new_int_var(0, max(usages), "")
        model.add(demand == cp_model.LinearExpr.weighted_sum(strategies[node], usages))
        intervals.append(model.new_fixed_size_interval_var(begin, end - begin, ""))
        demands.append(demand)
    add_capacities(model, core, intervals, demands)
    model.minimize(cp_model.LinearExpr.weighted_sum(terms, coefficients))
    return model, strategies


def add_capacities(model: Any, core: CoreProblem, intervals: list[Any], demands: list[Any]) -> None:
    """Rows differ in capacity: what a row has less than the largest is used by a fixed interval."""
    if not len(core.row_capacities):
        return
    largest = int(core.row_capacities.max())
    for row, capacity in enumerate(core.row_capacities.tolist()):
        if capacity < largest:
            intervals.append(model.new_fixed_size_interval_var(row, 1, ""))
            demands.append(largest - capacity)
    model.add_cumulative(intervals, demands, largest)


SOLVERS: dict[str, Callable[[Path, float], Result]] = {
    "ours": run_ours,
    "highs": run_highs,
    "cp_sat": run_cp_sat,
}
TITLES = {"highs": "HiGHS", "cp_sat": "CP-SAT"}


def in_own_process(solver: str, file: Path, time_limit: float) -> Result:
    command = [sys.executable, __file__, "--child", solver, "--only", str(file)]
    command += ["--time-limit", str(time_limit)]
    try:
        # Building a model of millions of entries does not stop at the limit: some grace.
        child = subprocess.run(command, capture_output=True, text=True, timeout=time_limit + 60)
    except subprocess.TimeoutExpired:
        return {"error": "no answer in time"}
    if child.returncode != 0:
        return {"error": (child.stderr.strip().splitlines() or ["killed"])[-1]}
    return json.loads(child.stdout.splitlines()[-1])


def child_main(solver: str, file: Path, time_limit: float) -> None:
    start = time.monotonic()
    result = SOLVERS[solver](file, time_limit)
    result.setdefault("seconds", time.monotonic() - start)
    result["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))


def anchors(folder: Path) -> dict[str, dict[str, str]]:
    """What is known of each instance, by the last part of its name."""
    file = folder / "anchors.csv"
    if not file.exists():
        return {}
    with file.open() as lines:
        return {row["instance"]: row for row in csv.DictReader(lines)}


def best_known(anchor: dict[str, str]) -> int | None:
    columns = ("proven_optimum", "ti2_rerun_best", "XLA", "contest_best")
    return min((int(anchor[c]) for c in columns if anchor.get(c)), default=None)


def measure(file: Path, anchor: dict[str, str], limit: float, solvers: list[str]) -> Result:
    results = {solver: in_own_process(solver, file, limit) for solver in solvers}
    return {"time_limit_seconds": limit, "best_known": best_known(anchor), **results}


def environment() -> Result:
    """Where and when, with the versions that matter."""
    versions: dict[str, str | None] = {}
    for package in ("alpa_mlir", "highspy", "cvxpy", "ortools"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": NUM_THREADS,
        "python": platform.python_version(),
        "versions": versions,
    }


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def row(name: str, result: Result, solvers: list[str]) -> list[str]:
    ours = result.get("ours", {"error": "-"})
    others = [other_text(result[solver]) for solver in solvers if solver != "ours"]
    limit, known = f"{result['time_limit_seconds']:.0f}", str(result["best_known"] or "-")
    if "error" in ours:
        return [name, limit, "", "", "", ours["error"], known, *[""] * 5, *others]
    gap = (ours["cost"] - ours["bound"]) / max(ours["cost"], 1)
    sizes = [str(ours[key]) for key in ("nodes", "edges", "reduced")]
    seconds = [f"{ours[key]:.1f}" for key in ("seconds_to_best", "seconds")]
    found = [str(ours["cost"]), known, str(ours["bound"]), f"{gap:.2%}"]
    return [name, limit, *sizes, *found, *seconds, str(ours["megabytes"]), *others]


def other_text(result: Result) -> str:
    if "error" in result:
        return str(result["error"])[:24]
    cost = "-" if result["cost"] is None else str(result["cost"])
    bound = "-" if result["bound"] is None else f"{result['bound']:.6g}"
    return f"{cost} ≥ {bound} ({result['seconds']:.0f} s)"


def print_table(results: dict[str, Result], solvers: list[str]) -> None:
    table = Table(title=f"IOPDDL, {NUM_THREADS} threads")
    headers = ["", "limit s", "nodes", "edges", "reduced", "cost", "best known", "bound", "gap"]
    headers += ["to best s", "in all s", "MB"]
    headers += [f"{TITLES[solver]} alone" for solver in solvers if solver != "ours"]
    for header in headers:
        table.add_column(header, justify="right")
    for name, result in results.items():
        table.add_row(*row(name, result, solvers))
    Console(width=220).print(table)


@click.command()
@click.option("--instances", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", default="", help="Names of instances, with commas between.")
@click.option("--time-limit", type=float, help="Seconds for each. Default: the contest's, or 60.")
@click.option("--solvers", default=",".join(SOLVERS), show_default=True)
@click.option(
    "--results", type=click.Path(file_okay=False, path_type=Path), help="Keeps JSON here."
)
@click.option("--child", hidden=True)
def main(
    instances: Path | None,
    only: str,
    time_limit: float | None,
    solvers: str,
    results: Path | None,
    child: str | None,
) -> None:
    if child:
        return child_main(child, Path(only), time_limit or DEFAULT_TIME_LIMIT)
    if instances is None:
        raise click.UsageError("name the folder of the instances: --instances DIR")
    chosen = [solver for solver in SOLVERS if solver in solvers.split(",")]
    known = anchors(instances)
    measured: dict[str, Result] = {}
    for file in sorted(instances.glob("*-iopddl-*.json*")):
        name = file.name.split(".")[0].rsplit("-", 1)[-1]
        if only and name not in only.split(","):
            continue
        anchor = known.get(name, {})
        limit = time_limit or float(anchor.get("timeout_s", DEFAULT_TIME_LIMIT))
        measured[name] = measure(file, anchor, limit, chosen)
        if results:
            keep(results, measured)
    print_table(measured, chosen)


def keep(folder: Path, measured: dict[str, Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {**environment(), "instances": measured}
    target = folder / f"iopddl-{document['date']}.json"
    target.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
