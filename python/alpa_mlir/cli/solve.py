"""`alpa-solve`: solves sharding problems in IOPDDL's JSON form, and bounds what is left to gain."""

import json
import signal
import zlib
from pathlib import Path

import click

from alpa_mlir._native import ShardingProblem
from alpa_mlir.cli.command import BAD_INPUT, OneLineCommand, fail, file_option, quiet_option
from alpa_mlir.errors import AlpaError, ArgumentError, InfeasibleError
from alpa_mlir.files import check_can_write, write_text
from alpa_mlir.intra_op.solution import Solution, TracePoint
from alpa_mlir.intra_op.solve import solve

# Far above any known instance (93 MB); what a small archive can grow to must not fill the memory.
_MAX_BYTES = 2 << 30
_NO_ANSWER = 1  # exit code
_HEADER = "   seconds  phase                     cost           lower bound     gap"
_GZIP_FORMAT = 31  # of zlib's wbits


@click.command(name="alpa-solve", cls=OneLineCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--time-limit",
    type=float,
    help="Seconds. Default: 60, or none with --work-limit.",
)
@click.option("--num-threads", type=click.IntRange(max=4096), help="Default: one per core.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--target-gap", default=0.0, show_default=True, help="Stop at this gap.")
@click.option(
    "--work-limit",
    type=click.IntRange(0, 2**62),
    help="Stop after so much work, for equal answers anywhere.",
)
@file_option("--output", help_text="Write choices, cost, lower bound and peak usage as JSON.")
@quiet_option
def main(
    file: Path,
    time_limit: float | None,
    num_threads: int | None,
    seed: int,
    target_gap: float,
    work_limit: int | None,
    output: Path | None,
    quiet: bool,
) -> None:
    """Solve the sharding problem in FILE (.json or .json.gz).

    Progress goes to standard error. Without --output the last line of standard output is the list
    of choices, one per node. Ctrl-C (or a SIGTERM) ends the search with the best answer so far; a
    second one ends the program. Exit code 1 is a problem without an answer, 2 bad input.
    """
    if output is not None:
        check_can_write(output, ArgumentError)
    stop = _Stop()

    def on_progress(point: TracePoint) -> bool:
        if printer:
            printer(point)
        return not stop.is_requested

    try:
        problem = load_problem(file)
        printer = None if quiet else _Printer()
        with stop:
            solution = solve(
                problem,
                time_limit_seconds=time_limit,
                num_threads=num_threads,
                seed=seed,
                target_gap=target_gap,
                work_limit=work_limit,
                on_progress=on_progress,
            )
    except InfeasibleError as error:
        fail(f"{file}: {error}", _NO_ANSWER)
    except (AlpaError, ValueError, OverflowError) as error:
        fail(f"{file}: {error}", BAD_INPUT)
    except MemoryError:
        fail(f"{file}: the problem does not fit into this machine's memory", _NO_ANSWER)
    if not quiet:
        click.echo(_summary(solution), err=True)
    choices: list[int] = solution.choices.tolist()
    if output is None:
        click.echo(json.dumps(choices))
        return
    answer = {
        "choices": choices,
        "cost": solution.cost,
        "lower_bound": solution.lower_bound,
        "peak_usage": solution.peak_usage,
    }
    try:
        write_text(output, json.dumps(answer) + "\n", ArgumentError)
    except ArgumentError as error:  # since it was looked at first; the answer must not be lost
        click.echo(json.dumps(choices))
        fail(f"{error}; the answer is on standard output")


class _Stop:
    """Turns the first SIGINT or SIGTERM within a `with` block into a request to stop."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.is_requested = False

    def __enter__(self) -> None:
        self._before = [signal.signal(number, self._request) for number in self._SIGNALS]

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _request(self, *_: object) -> None:
        self.is_requested = True
        self._restore()
        click.echo("stopping; once more to give up the answer", err=True)

    def _restore(self) -> None:
        for number, handler in zip(self._SIGNALS, self._before, strict=True):
            signal.signal(number, handler)


def load_problem(file: Path) -> ShardingProblem:
    """Reads a problem, compressed or not. Raises ValueError if it is malformed or too large."""
    if file.stat().st_size > _MAX_BYTES:
        raise ValueError(_too_large_message())
    data = file.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = _decompress(data)
    if len(data) > _MAX_BYTES:
        raise ValueError(_too_large_message())
    return ShardingProblem.from_json(data)


def _too_large_message() -> str:
    return f"expected at most {_MAX_BYTES} bytes of JSON, got more; cut the program into stages"


def _decompress(data: bytes) -> bytes:
    """All members of a gzip file, one after another."""
    members: list[bytes] = []
    num_bytes = 0
    while data and num_bytes <= _MAX_BYTES:
        try:
            decompressor = zlib.decompressobj(wbits=_GZIP_FORMAT)
            members.append(decompressor.decompress(data, _MAX_BYTES + 1 - num_bytes))
        except zlib.error as error:
            raise ValueError(f"expected a gzip file: {error}") from None
        num_bytes += len(members[-1])
        if not decompressor.eof and num_bytes <= _MAX_BYTES:
            raise ValueError("expected a whole gzip file, got a truncated one")
        data = decompressor.unused_data
    return b"".join(members)


class _Printer:
    """Prints new answers at once, new bounds twice a second."""

    def __init__(self) -> None:
        self._next_seconds = 0.0
        self._last: TracePoint | None = None

    def __call__(self, point: TracePoint) -> None:
        last = self._last
        is_new_answer = last is None or point.cost != last.cost
        is_new_bound = last is None or point.lower_bound != last.lower_bound
        if last is None:  # a refusal comes before, and is one line
            click.echo(_HEADER, err=True)
        if is_new_answer or (is_new_bound and point.seconds >= self._next_seconds):
            self._next_seconds = point.seconds + 0.5
            self._last = point
            click.echo(_line(point), err=True)


def _line(point: TracePoint) -> str:
    cost = "-" if point.cost is None else str(point.cost)
    gap = "-" if point.cost is None else f"{_gap(point.cost, point.lower_bound):.3%}"
    return f"{point.seconds:10.2f}  {point.phase:14} {cost:>20}  {point.lower_bound:>20} {gap:>7}"


def _gap(cost: int, lower_bound: int) -> float:
    return (cost - lower_bound) / max(cost, 1)


def _summary(solution: Solution) -> str:
    proof = "optimal" if solution.is_optimal else f"within {solution.gap:.3%} of the optimum"
    return f"cost {solution.cost}, {proof}; peak usage {solution.peak_usage} bytes"
