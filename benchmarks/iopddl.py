"""Our solver on instances of the IOPDDL contest, beside HiGHS alone and CP-SAT alone.

    python benchmarks/iopddl.py --instances DIR [--only B,G] [--time-limit 60] [--without-others]

Prints a table: size, size after the exact reductions, our cost, the best cost known (from
`anchors.csv` beside the instances), our lower bound and gap, seconds until the best answer and in
all, peak memory; then the cost and bound of HiGHS on the ILP of the whole problem, and of OR-tools
CP-SAT, under the same limit. Every solver runs in a process of its own: highspy and ortools cannot
be imported into one. OR-tools comes with `pip install ortools`.
"""

import csv
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from alpa_mlir._native import BLOCKED_COST, CoreProblem, ReducibleProblem
from alpa_mlir.cli.solve import load_problem
from rich.console import Console
from rich.table import Table

Result = dict[str, Any]


def run_ours(file: Path, time_limit: float, num_threads: int) -> Result:
    from alpa_mlir.intra_op.solve import solve

    start = time.monotonic()
    problem = load_problem(file)
    reduced = ReducibleProblem(problem)
    reduced.reduce()
    remaining = time_limit - (time.monotonic() - start)
    solution = solve(problem, time_limit_seconds=remaining, num_threads=num_threads)
    solution.verify()
    to_best = next(point.seconds for point in solution.trace if point.cost == solution.cost)
    return {
        "nodes": problem.num_nodes,
        "edges": problem.num_edges,
        "reduced": len(reduced.core_nodes()),
        "cost": solution.cost,
        "bound": solution.lower_bound,
        "seconds_to_best": to_best,
    }


def run_highs(file: Path, time_limit: float, num_threads: int) -> Result:
    from alpa_mlir.intra_op.ilp import Ilp

    start = time.monotonic()
    problem = load_problem(file)
    whole = ReducibleProblem(problem)  # parallel edges joined, nothing reduced
    ilp = Ilp(whole.core())
    result = ilp.solve(time_limit_seconds=time_limit - (time.monotonic() - start))
    if result.choices is None:
        return {"cost": None, "bound": result.lower_bound}
    judged = problem.evaluate(whole.expand(result.choices.tolist()))
    return {"cost": judged.cost if judged.is_feasible else None, "bound": result.lower_bound}


def run_cp_sat(file: Path, time_limit: float, num_threads: int) -> Result:
    from ortools.sat.python import cp_model

    start = time.monotonic()
    problem = load_problem(file)
    whole = ReducibleProblem(problem)
    core = whole.core()
    model, strategies = cp_sat_model(core)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = num_threads
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
    from ortools.sat.python import cp_model

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


SOLVERS: dict[str, Callable[[Path, float, int], Result]] = {
    "ours": run_ours,
    "highs": run_highs,
    "cp_sat": run_cp_sat,
}


def in_own_process(solver: str, file: Path, time_limit: float, num_threads: int) -> Result:
    command = [sys.executable, __file__, "--child", solver, "--only", str(file)]
    command += ["--time-limit", str(time_limit), "--num-threads", str(num_threads)]
    try:
        # Building a model of millions of entries does not stop at the limit: some grace.
        child = subprocess.run(command, capture_output=True, text=True, timeout=2 * time_limit + 30)
    except subprocess.TimeoutExpired:
        return {"error": "no answer in time"}
    if child.returncode != 0:
        return {"error": (child.stderr.strip().splitlines() or ["killed"])[-1]}
    return json.loads(child.stdout.splitlines()[-1])


def child_main(solver: str, file: Path, time_limit: float, num_threads: int) -> None:
    start = time.monotonic()
    result = SOLVERS[solver](file, time_limit, num_threads)
    result["seconds"] = time.monotonic() - start
    result["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))


def best_known(folder: Path) -> dict[str, int]:
    """The contest's best or better, by the last part of the instance's name."""
    anchors = folder / "anchors.csv"
    if not anchors.exists():
        return {}
    columns = ("proven_optimum", "ti2_rerun_best", "XLA", "contest_best")
    with anchors.open() as lines:
        rows = {row["instance"]: [row[c] for c in columns] for row in csv.DictReader(lines)}
    return {name: min(int(c) for c in costs if c) for name, costs in rows.items() if any(costs)}


def other_text(result: Result) -> str:
    if "error" in result:
        return str(result["error"])[:24]
    cost, bound = result["cost"], result["bound"]
    return f"{cost if cost is not None else '-'} ≥ {bound:.6g} ({result['seconds']:.0f} s)"


@click.command()
@click.option("--instances", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", default="", help="Names of instances, with commas between.")
@click.option("--time-limit", default=60.0, show_default=True)
@click.option("--num-threads", default=2, show_default=True)
@click.option("--without-others", is_flag=True, help="Our solver only.")
@click.option("--child", hidden=True)
def main(
    instances: Path | None,
    only: str,
    time_limit: float,
    num_threads: int,
    without_others: bool,
    child: str | None,
) -> None:
    if child:
        return child_main(child, Path(only), time_limit, num_threads)
    if instances is None:
        raise click.UsageError("name the folder of the instances: --instances DIR")
    known = best_known(instances)
    table = Table(title=f"IOPDDL, {time_limit:.0f} s, {num_threads} threads")
    headers = ["", "nodes", "edges", "reduced", "cost", "best known", "bound", "gap"]
    headers += ["to best s", "in all s", "MB", "HiGHS alone", "CP-SAT alone"]
    for header in headers:
        table.add_column(header, justify="right")
    for file in sorted(instances.glob("*.json*")):
        name = file.name.split(".")[0].rsplit("-", 1)[-1]
        if only and name not in only.split(","):
            continue
        ours = in_own_process("ours", file, time_limit, num_threads)
        if "error" in ours:
            table.add_row(name, *[""] * 3, str(ours["error"]))
            continue
        others = ["", ""]
        if not without_others:
            results = [
                in_own_process(s, file, time_limit, num_threads) for s in ("highs", "cp_sat")
            ]
            others = [other_text(result) for result in results]
        gap = (ours["cost"] - ours["bound"]) / max(ours["cost"], 1)
        numbers = [ours[key] for key in ("nodes", "edges", "reduced", "cost")]
        numbers += [known.get(name, "-"), ours["bound"], f"{gap:.2%}"]
        numbers += [f"{ours['seconds_to_best']:.1f}", f"{ours['seconds']:.1f}", ours["megabytes"]]
        table.add_row(name, *map(str, numbers), *others)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
