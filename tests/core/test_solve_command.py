"""`alpa-solve`: the contest's format in, choices out, clear errors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from alpa_mlir._native import FORBIDDEN_COST, ShardingProblem
from alpa_mlir.cli.solve import main
from click.testing import CliRunner


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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{]", "byte 1: expected '\"'"),
        (b'{"problem": {"nodes": {"costs": [[1e30]]}}}', "below 2^63"),
        (b"\x1f\x8bgarbage", "expected a gzip file"),
        (gzip.compress(b"{" * 1000)[:20], "truncated"),
    ],
)
def test_solve_command_malformed_is_an_error(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "problem.json"
    file.write_bytes(data)
    code, out, err = run(file)
    assert (code, out) == (1, "")
    assert message in err
    assert "Traceback" not in err
