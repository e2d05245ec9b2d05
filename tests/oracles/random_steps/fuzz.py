"""`make fuzz N=2000`: random training steps with random methods, judged, and failures made small.

    python -m oracles.random_steps.fuzz 2000 --seed 0      in tests/
    python -m oracles.random_steps.fuzz 1 --seed 17 --show  one program, as Python source

Fails where a result is wrong, where anything but an AlpaError is raised, crashes or hangs, and
where more than 5 % of the refusals are unjustified.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from programs.random_steps.draw import random_step
from programs.random_steps.source import write_source
from rich.console import Console
from rich.table import Table

from oracles.random_steps.methods import random_method
from oracles.random_steps.minimise import Failure, minimised
from oracles.random_steps.processes import LIMIT_SECONDS, Task, Worker, judge_all
from oracles.random_steps.verdicts import FAILURES, KINDS, REFUSALS, UNJUSTIFIED

MAX_SMALLEST = 8  # programs that are made small, of one signature
TOLD_EVERY = 100  # programs
MAX_UNJUSTIFIED_SHARE = 0.05  # of the refusals

console = Console(soft_wrap=True, highlight=False, markup=False)


def tasks_of(seeds: Sequence[int]) -> list[Task]:
    steps = [random_step(seed) for seed in seeds]
    return [(step, random_method(step, step.seed)) for step in steps]


def has_passed(failures: Sequence[Failure]) -> bool:
    """Of the verdicts of all programs, those that are good among them."""
    kinds = Counter(failure.verdict.kind for failure in failures)
    num_refusals = sum(kinds[kind] for kind in REFUSALS)
    few = kinds[UNJUSTIFIED] <= MAX_UNJUSTIFIED_SHARE * num_refusals
    return few and not any(kinds[kind] for kind in FAILURES)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    tasks = tasks_of(range(options.seed, options.seed + options.count))
    if options.show:
        for step, asked in tasks:
            console.print(f"# seed {step.seed}, {asked}\n{write_source(step).text}")
        return 0
    judged: list[Failure] = []
    for (step, asked), verdict in judge_all(tasks, options.workers, options.limit_seconds):
        judged.append(Failure(step, asked, verdict))
        if len(judged) % TOLD_EVERY == 0:
            console.print(f"{len(judged)} of {len(tasks)}")
        if verdict.kind in FAILURES:
            console.print(f"seed {step.seed}, {asked}: {verdict.kind}: {verdict.message[:300]}")
    _print_table(judged, options.seed)
    groups = _groups(judged)
    for signature, failures in groups:
        seeds = ", ".join(str(failure.step.seed) for failure in failures[:12])
        console.print(f"{len(failures):5d}  {signature}\n       seeds {seeds}")
    with Worker(options.limit_seconds) as worker:
        for _, failures in groups[: options.minimise]:
            _print_smallest(failures, worker)
    return 0 if has_passed(judged) else 1


def _print_smallest(failures: Sequence[Failure], worker: Worker) -> None:
    """Of one signature. What has all that a small program failed with is taken for the same."""
    smallest: list[Failure] = []
    for failure in sorted(failures, key=lambda failure: len(failure.step.pieces)):
        is_known = any(each.culprits <= failure.culprits for each in smallest)
        if not is_known and len(smallest) < MAX_SMALLEST:
            smallest.append(minimised(failure, worker.judge))
            console.print(f"\n{smallest[-1]}")
    causes = [", ".join(sorted(each.culprits)) or "nothing special" for each in smallest]
    console.print(f"# {failures[0].verdict.signature}\n# with: {'; or with: '.join(causes)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int, help="number of programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first; the others follow")
    parser.add_argument("--workers", type=int, default=2, help="processes beside each other")
    parser.add_argument("--limit-seconds", type=float, default=LIMIT_SECONDS, help="per program")
    parser.add_argument("--minimise", type=int, default=20, help="kinds of failures made small")
    parser.add_argument("--show", action="store_true", help="print the programs, run nothing")
    return parser


def _groups(judged: Sequence[Failure]) -> list[tuple[str, list[Failure]]]:
    """Failures and unjustified refusals by their signature, the worst and most frequent first."""
    groups: dict[str, list[Failure]] = {}
    for failure in judged:
        if failure.verdict.kind in (*FAILURES, UNJUSTIFIED):
            groups.setdefault(failure.verdict.signature, []).append(failure)

    def rank(group: tuple[str, list[Failure]]) -> tuple[bool, int]:
        return group[1][0].verdict.kind == UNJUSTIFIED, -len(group[1])

    return sorted(groups.items(), key=rank)


def _print_table(judged: Sequence[Failure], first_seed: int) -> None:
    table = Table(title=f"{len(judged)} random steps, seeds from {first_seed}")
    methods = sorted({failure.asked.kind for failure in judged})
    for column in ("verdict", *methods, "all"):
        table.add_column(column, justify="left" if column == "verdict" else "right")
    counts = Counter((failure.verdict.kind, failure.asked.kind) for failure in judged)
    for kind in KINDS:
        row = [counts[kind, method] for method in methods]
        table.add_row(kind, *map(str, row), str(sum(row)))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
