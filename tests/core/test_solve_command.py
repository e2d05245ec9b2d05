"""`alpa-solve`: the contest's format in, choices out, clear errors."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
from alpa_mlir._native import FORBIDDEN_COST, ShardingProblem
from alpa_mlir.cli.solve import main
from click.testing import CliRunner
from sharding_problems import large_problem


@pytest.fixture
def problem() -> ShardingProblem:
    problem = ShardingProblem()
    problem.name = "two nodes"
    problem.usage_limit = 10
    problem.add_node((0, 2), [1, 2], [8, 4])
    problem.add_node((1, 3), [3, 0], [6, 6])
    problem.add_edge(0, 1, [0, 5, FORBIDDEN_COST, 7])
    return problem


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("is_compressed", [False, True])
def test_solve_command_prints_choices_last(
    problem: ShardingProblem, tmp_path: Path, is_compressed: bool
) -> None:
    text = problem.to_json().encode()
    file = tmp_path / "problem.json"
    file.write_bytes(gzip.compress(text) if is_compressed else text)
    code, out, err = run(file)
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == [1, 1]
    assert "cost 9, optimal; peak usage 10 bytes" in err


def test_solve_command_writes_output(problem: ShardingProblem, tmp_path: Path) -> None:
    file, output = tmp_path / "problem.json", tmp_path / "answer.json"
    file.write_text(problem.to_json())
    code, out, err = run(file, "--output", output, "--quiet")
    assert (code, out, err) == (0, "", "")
    assert json.loads(output.read_text()) == {
        "choices": [1, 1],
        "cost": 9,
        "lower_bound": 9,
        "peak_usage": 10,
    }


def test_solve_command_infeasible_is_an_error(problem: ShardingProblem, tmp_path: Path) -> None:
    problem.usage_limit = 7
    file = tmp_path / "problem.json"
    file.write_text(problem.to_json())
    code, out, err = run(file)
    assert (code, out) == (1, "")
    assert "3 bytes are missing at time 1" in err


def test_solve_command_contradicting_choices_are_an_error(
    problem: ShardingProblem, tmp_path: Path
) -> None:
    problem.add_edge(0, 1, [FORBIDDEN_COST] * 4)
    file = tmp_path / "problem.json"
    file.write_text(problem.to_json())
    code, out, err = run(file)
    assert (code, out) == (1, "")
    assert "no choice of strategies is allowed" in err


def one_node_problem(costs: str, usages: str = "[[1], [1], [1]]") -> bytes:
    """Three nodes of one strategy that live at the same time."""
    nodes = f'{{"intervals": [[0, 1], [0, 1], [0, 1]], "costs": {costs}, "usages": {usages}}}'
    edges = '{"nodes": [], "costs": []}'
    return f'{{"problem": {{"nodes": {nodes}, "edges": {edges}, "usage_limit": 9}}}}'.encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected '{', got the end"),
        (b"{]", "byte 1: expected '\"'"),
        (b'{"problem": {"nodes": {"costs": [[1e30]]}}}', "below 2^63"),
        (b"\xff\xfe\x00", "byte 0: expected '{', got byte 0xff"),
        (b"\x1f\x8bgarbage", "expected a gzip file"),
        (gzip.compress(b"{" * 1000, mtime=0)[:20], "truncated"),
        (b'{"problem": {"nodes": {"costs": [[1]]}, "edges": {}}}', 'expected "intervals" before'),
        (b'{"problem": {"nodes": {"costs": [], "costs": []}}}', 'expected "costs" once'),
        (one_node_problem("[[1], [1]]"), 'expected 3 items in "costs"'),
        (one_node_problem("[[1], [], [1]]"), "node 1: expected at least one strategy"),
        (one_node_problem("[[1], [-1], [1]]"), "node 1: expected a cost of at least 0"),
        (one_node_problem(f"[[{10**18 - 1}], [{10**18 - 1}], [{10**18 - 1}]]"), "coarser unit"),
        (one_node_problem("[[1], [1], [1]]", f"[[1], [{2**62}], [1]]"), "node 1: expected usages"),
    ],
)
def test_solve_command_malformed_is_an_error(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "problem.json"
    file.write_bytes(data)
    code, out, err = run(file)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--work-limit", str(10**20)]])
def test_solve_command_number_out_of_range_is_an_error(
    problem: ShardingProblem, tmp_path: Path, options: list[str]
) -> None:
    file = tmp_path / "problem.json"
    file.write_text(problem.to_json())
    code, out, err = run(file, *options)
    assert (code, out) == (2, "")
    assert "is not in the range" in err


def test_solve_command_gzip_in_members_is_read_whole(
    problem: ShardingProblem, tmp_path: Path
) -> None:
    text = problem.to_json().encode()
    file = tmp_path / "problem.json.gz"
    file.write_bytes(gzip.compress(text[:20]) + gzip.compress(text[20:]))
    code, out, _ = run(file)
    assert code == 0
    assert json.loads(out)
    file.write_bytes(gzip.compress(text) + b"more")
    code, out, err = run(file)
    assert (code, out) == (2, "")
    assert "expected a gzip file" in err


def test_solve_command_answer_that_cannot_be_written_is_printed(
    problem: ShardingProblem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be when the search began."""
    monkeypatch.setattr("alpa_mlir.cli.solve.check_can_write", lambda *_: None)
    file, output = tmp_path / "problem.json", tmp_path / ("x" * 300)
    file.write_text(problem.to_json())
    code, out, err = run(file, "--output", str(output))
    assert code == 2
    assert json.loads(out)
    assert "cannot write" in err
    assert err.endswith("the answer is on standard output\n")


def test_solve_command_too_large_is_an_error(
    problem: ShardingProblem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = problem.to_json().encode()
    monkeypatch.setattr("alpa_mlir.cli.solve._MAX_BYTES", len(text) - 1)
    file = tmp_path / "problem.json"
    for data in (text, gzip.compress(text), gzip.compress(b" " * 10_000_000)):
        file.write_bytes(data)
        code, out, err = run(file)
        assert (code, out) == (2, "")
        assert f"expected at most {len(text) - 1} bytes" in err


@pytest.mark.parametrize(
    "options",
    [
        ["--time-limit", "-1"],
        ["--time-limit", "nan"],
        ["--num-threads", "0"],
    ],
)
def test_solve_command_senseless_option_is_an_error(
    problem: ShardingProblem, tmp_path: Path, options: list[str]
) -> None:
    file = tmp_path / "problem.json"
    file.write_text(problem.to_json())
    code, out, err = run(file, *options)
    assert code != 0
    assert out == ""
    assert "expected" in err


def test_solve_command_help_names_every_option() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for option in ("time-limit", "num-threads", "seed", "target-gap", "work-limit", "output"):
        assert f"--{option}" in out


def test_solve_command_prints_progress(tmp_path: Path) -> None:
    problem = large_problem(0)
    file = tmp_path / "problem.json"
    file.write_text(problem.to_json())
    code, out, err = run(file, "--work-limit", 300_000_000)
    assert code == 0
    header, *lines, summary = err.splitlines()
    assert header.split() == ["seconds", "phase", "cost", "lower", "bound", "gap"]
    assert len(lines) >= 2
    *_, cost, bound, gap = lines[-1].split()
    assert f"cost {cost}, " in summary
    assert int(bound) <= int(cost) == problem.evaluate(json.loads(out)).cost
    assert gap.endswith("%")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_solve_command_interrupted_gives_the_best_answer(
    number: signal.Signals, tmp_path: Path
) -> None:
    problem = large_problem(0, num_nodes=1000)
    file = tmp_path / "problem.json"
    file.write_text(problem.to_json())
    command = [sys.executable, "-c", "from alpa_mlir.cli.solve import main; main()", str(file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environment)
    assert child.stderr is not None
    for line in child.stderr:
        if line.rstrip().endswith("%"):  # the first answer
            break
    start = time.monotonic()
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert time.monotonic() - start < 5
    assert child.returncode == 0, err
    assert problem.evaluate(json.loads(out.splitlines()[-1])).is_feasible
    assert "within" in err.splitlines()[-1]
