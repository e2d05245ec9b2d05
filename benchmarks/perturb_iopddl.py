"""Writes variants of sharding problems, to see that the solver is not tuned to the ones we have.

    python benchmarks/perturb_iopddl.py FILE... --output DIR [--only noise,tight] [--seed 0]

- noise: every cost times a factor of its own between 0.5 and 2
- tight, close: a memory limit of 1.02 and 1.1 times what the smallest strategies need
- dropped: a tenth of the nodes is gone, with its edges
- crosscut: as many edges as 2 % of the nodes, between nodes that are far apart
- finite: nothing is forbidden, but what was costs ten times the largest allowed cost

The result is in IOPDDL's form, for `alpa-solve` and `benchmarks/iopddl.py --instances DIR`.
"""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from alpa_mlir._native import FORBIDDEN_COST, ShardingProblem
from alpa_mlir.cli.solve import load_problem

Json = dict[str, Any]


def noise(problem: Json, source: random.Random) -> None:
    for part in ("nodes", "edges"):
        for costs in problem[part]["costs"]:
            costs[:] = [c if is_forbidden(c) else int(c * source.uniform(0.5, 2)) for c in costs]


def tight(problem: Json, source: random.Random) -> None:
    problem["usage_limit"] = floor_bytes(problem) * 102 // 100


def close(problem: Json, source: random.Random) -> None:
    problem["usage_limit"] = floor_bytes(problem) * 110 // 100


def dropped(problem: Json, source: random.Random) -> None:
    nodes, edges = problem["nodes"], problem["edges"]
    kept = [n for n in range(len(nodes["costs"])) if source.random() >= 0.1]
    new_index = {n: i for i, n in enumerate(kept)}
    for key in nodes:
        nodes[key] = [nodes[key][n] for n in kept]
    lives = [all(n in new_index for n in ends) for ends in edges["nodes"]]
    for key in edges:
        edges[key] = [value for value, is_live in zip(edges[key], lives, strict=True) if is_live]
    edges["nodes"] = [[new_index[n] for n in ends] for ends in edges["nodes"]]


def crosscut(problem: Json, source: random.Random) -> None:
    sizes = [len(costs) for costs in problem["nodes"]["costs"]]
    edges = problem["edges"]
    largest = max(c for costs in edges["costs"] for c in costs if not is_forbidden(c))
    for _ in range(len(sizes) // 50):
        first, second = source.sample(range(len(sizes)), 2)
        edges["nodes"].append([first, second])
        entries = range(sizes[first] * sizes[second])
        edges["costs"].append([source.choice([0, 0, largest // 100]) for _ in entries])


def finite(problem: Json, source: random.Random) -> None:
    tables = [costs for part in ("nodes", "edges") for costs in problem[part]["costs"]]
    large = 10 * max(c for costs in tables for c in costs if not is_forbidden(c))
    for costs in tables:
        costs[:] = [large if is_forbidden(c) else c for c in costs]


def is_forbidden(cost: int) -> bool:
    return cost >= FORBIDDEN_COST


def floor_bytes(problem: Json) -> int:
    """The peak if every node takes its smallest strategy."""
    usages = problem["nodes"]["usages"]
    smallest = [min(range(len(values)), key=values.__getitem__) for values in usages]
    text = json.dumps({"problem": problem}).encode()
    return ShardingProblem.from_json(text).evaluate(smallest).peak_usage


VARIANTS: dict[str, Callable[[Json, random.Random], None]] = {
    variant.__name__: variant for variant in (noise, tight, close, dropped, crosscut, finite)
}


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", default=",".join(VARIANTS), show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(files: tuple[Path, ...], output: Path, only: str, seed: int) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for file in files:
        text = load_problem(file).to_json()
        for name in only.split(","):
            document = json.loads(text)
            VARIANTS[name](document["problem"], random.Random(f"{seed} {file.name} {name}"))
            target = output / f"{file.name.split('.')[0]}_{name}.json.gz"
            target.write_bytes(gzip.compress(json.dumps(document).encode(), compresslevel=1))


if __name__ == "__main__":
    main()
