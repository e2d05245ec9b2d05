"""Bad input of every command: one clear line, exit code 2, nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import pytest
from alpa_mlir.cli.energy import main as energy
from alpa_mlir.cli.plan.main import group
from alpa_mlir.cli.solve import main as solve
from commands import METHOD, STEP, lowered, refusal, run_module
from programs.hand_made_plans import hand_made_plan


def edited(**fields: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(json.dumps({**hand_made_plan().to_json(), **fields}))

    return write


BAD_PLANS: list[tuple[Callable[[Path], Any], str]] = [
    (lambda path: None, "No such file"),
    (lambda path: path.mkdir(), "Is a directory"),
    (lambda path: path.write_bytes(b"\xff\xfe"), "can't decode byte 0xff"),
    (lambda path: path.write_text("no JSON"), "Expecting value"),
    (lambda path: path.write_text("[" * 100_000), "recursion"),
    (lambda path: path.write_text("[1]"), "expected the fields of alpa_mlir.Plan"),
    (edited(version=99), "expected a plan of version 4, got 99"),
    (edited(step_seconds=-1), "step_seconds: expected at least 0, got -1"),
    (edited(step_seconds=float("nan")), "step_seconds: expected a"),
    (edited(schedule="later"), "schedule: expected one of none"),
    (edited(module="no base64"), "module: expected text"),
]  # fmt: skip
READERS = {
    "explain": ["{plan}"],
    "simulate": ["{plan}"],
    "compare": ["{whole}", "{plan}"],
    "show": ["{plan}", "-o", "{kept}"],
    "validate": ["{plan}", "--quiet"],
}


@pytest.mark.parametrize("command", READERS)
def test_file_that_is_no_plan(command: str, folder: Path) -> None:
    for number, (write, message) in enumerate(BAD_PLANS):
        path, kept = folder / f"bad{number}.json", folder / "kept.html"
        write(path)
        kept.write_text("kept")
        places = {"plan": path, "whole": folder / "whole.json", "kept": kept}
        line = refusal(command, *(word.format(**places) for word in READERS[command]))
        assert message in line
        assert str(path) in line
        assert kept.read_text() == "kept"


def bad_cluster(**fields: Any) -> dict[str, Any]:
    return {**alpa.Cluster.preset("dgx-h100").to_json(), **fields}


LINK = {"latency_seconds": 1e-6, "bytes_per_second": 1e9}
BAD_CLUSTERS: list[tuple[Any, str]] = [
    ("no-such-preset", "expected local, a file, or one of dgx-a100,"),
    (
        bad_cluster(intra_node={**LINK, "bytes_per_second": -1e9}),
        "bytes_per_second: expected at least 1",
    ),
    (
        bad_cluster(inter_node={**LINK, "bytes_per_second": float("nan")}),
        "inter_node.bytes_per_second",
    ),
    (bad_cluster(version=7), "expected a cluster of version 1, got 7"),
    (bad_cluster(num_nodes=0), "num_nodes: expected at least 1"),
    ([], "expected"),
]


@pytest.mark.parametrize(("cluster", "message"), BAD_CLUSTERS)
def test_plan_for_no_cluster(cluster: Any, message: str, tmp_path: Path) -> None:
    name, kept = cluster, tmp_path / "plan.json"
    if not isinstance(cluster, str):
        name = str(tmp_path / "cluster.json")
        Path(name).write_text(json.dumps(cluster))
    kept.write_text("kept")
    line = refusal("plan", *STEP, "--cluster", name, "-o", kept)
    assert message in line
    assert kept.read_text() == "kept"


BAD_SOURCES: list[tuple[list[str], str]] = [
    (["absent.mlir"], "expected a StableHLO file or module:function"),
    (["no_such_module:step", "--arg", "f32[8]"], "No module named 'no_such_module'"),
    (["steps_to_trace:absent", "--arg", "f32[8]"], "expected a 'absent' there"),
    (["steps_to_trace:NUMBER", "--arg", "f32[8]"], "expected a function, got int"),
    (["steps_to_trace:train_step"], "expected the arguments of the function"),
    (["steps_to_trace:train_step", "--args", "steps_to_trace:NUMBER"], "expected a tuple"),
    (["steps_to_trace:train_step", "--args", "nothing"], "expected module:name"),
    (["steps_to_trace:broken_step", *STEP[1:]], "KeyError: 'absent'"),
    (["steps_to_trace:train_step", "--arg", "f32[8]"], "TypeError"),
    (["steps_to_trace:train_step", "--arg", "f33[8]"], "expected a dtype such as f32"),
    (["steps_to_trace:train_step", "--arg", "key<f32>[8]"], "expected a dtype such as f32"),
    (["steps_to_trace:same", "--arg", "object[8]"], "object"),
    (["steps_to_trace:train_step", "--arg", "f32[8 16]"], "expected sizes with commas between"),
    (["steps_to_trace:train_step", "--arg", f"f32[{'9' * 5000}]"], "expected sizes with commas"),
    (["steps_to_trace:LAZY.step", "--arg", "f32[8]"], "ImportError: no such extra"),
    (["steps_to_trace:stop", "--args", "steps_to_trace:stop"], "SystemExit: 3"),
    (["steps_to_trace:train_step", "--arg", "f32[8"], "expected a shape such as f32[8,16]"),
    (["steps_to_trace:train_step", "--arg", '{"w": 8}'], "such as f32[8,16], got 8"),
    ([*STEP, "--batch-argnums", "2"], "expected batch_argnums between 0 and 1, got 2"),
    ([*STEP, "--batch-argnums", "one"], "expected positions such as 0,3-5, got one"),
    ([*STEP, "--batch-argnums", "1-0"], "expected positions such as 0,3-5, got 1-0"),
    ([*STEP, "--batch-argnums", "0-99999999999"], "expected positions such as 0,3-5"),
    ([*STEP, "--state", "0:0"], "expected no --state beside a function"),
    (["{mlir}"], "cannot read the module"),
    (["{step}", "--arg", "f32[8]"], "expected no --arg and --args beside a StableHLO file"),
    (["{step}", "--batch-argnums", "9"], "to be one of the 4 arguments"),
    (["{step}", "--state", "0-1:0"], "expected as many arguments as results"),
    (["{step}", "--state", "0:2"], "expected argument 0 to come back as a result of its type"),
    (["{step}", "--state", "0:9"], "to be one of the 3 results"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["trace", "plan"])
def test_source_that_is_none(command: str, tmp_path: Path) -> None:
    (tmp_path / "no.mlir").write_text("this is no MLIR\nat all\n")
    (tmp_path / "step.mlir").write_text(lowered().as_text())
    kept = tmp_path / "kept"
    kept.write_text("kept")
    for words, message in BAD_SOURCES:
        places = {"{mlir}": tmp_path / "no.mlir", "{step}": tmp_path / "step.mlir"}
        asked = [places.get(word, word) for word in words]
        if command == "plan":
            asked += METHOD
        assert message in refusal(command, *asked, "-o", kept), words
        assert kept.read_text() == "kept"


BAD_MODULES = [
    (b"", "expected a function @main"),
    (b"module { func.func @other() { return } }", "expected a function @main"),
    (b"module { func.func @main(%x: tensor<?xf32>) { return } }", "a tensor of static shape"),
    (b"ML\xefR", "cannot read the module"),
    (b"ML\xefR\x0dStableHLO_v1.0.0\x00", "cannot read the module"),
    (b"\x00\xff\x00", "cannot read the module"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BAD_MODULES)
def test_module_that_is_no_program(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "step.mlir").write_bytes(data)
    assert message in refusal("trace", tmp_path / "step.mlir")


def test_function_that_calls_python_has_no_file(tmp_path: Path) -> None:
    asked = ["steps_to_trace:printing_step", *STEP[1:], "-o", tmp_path / "step.mlir"]
    assert "not to call Python functions" in refusal("trace", *asked)
    assert not (tmp_path / "step.mlir").exists()


BAD_METHODS = [
    (["--method", "Best"], "'Best' is not one of"),
    (["--method", "ShardParallel", "--num-stages", "2"], "--num-stages: expected --method"),
    (["--num-microbatches", "many"], "Auto.num_microbatches: expected"),
    (["--num-microbatches", "0"], "Auto.num_microbatches: expected at least 1"),
    (["--time-limit-seconds", "NaN"], "Auto.time_limit_seconds: expected a"),
    (["--schedule", "later"], "Auto.schedule: expected"),
    (["--mesh-shape", "2,3,4,5"], "Auto.mesh_shape: expected"),
    (["--num-nodes", "0"], "0 is not in the range"),
    (["--no-such-option"], "No such option"),
]  # fmt: skip


def test_method_that_is_none(tmp_path: Path) -> None:
    for words, message in BAD_METHODS:
        line = refusal("plan", *STEP, "--cluster", "dgx-h100", *words, "-o", tmp_path / "p.json")
        assert message in line, words
        assert not (tmp_path / "p.json").exists()


def test_plan_that_fits_nowhere(tmp_path: Path) -> None:
    line = refusal("plan", *STEP, *METHOD, "--memory-limit-bytes", "1000", "-o", tmp_path / "p")
    assert "1000" in line or "1 kB" in line
    assert not (tmp_path / "p").exists()


def test_numbers_that_are_in_no_range(tmp_path: Path) -> None:
    (tmp_path / "problem.json").write_text("{}")
    assert "--seconds: expected 1 to 86400, got nan" in refusal("profile", "--seconds", "nan")
    line = refusal(tmp_path / "problem.json", "--num-threads", 10**11, command=solve)
    assert "100000000000 is not in the range" in line


def test_command_that_is_none() -> None:
    assert "expected a command: compare, explain, plan" in refusal()
    assert "No such command" in refusal("guess")


def writers(folder: Path, output: object) -> list[tuple[Any, list[object]]]:
    """Every command with every option that writes."""
    pipeline = folder / "pipeline.json"
    profile = folder / "profile.csv"
    profile.write_text("stage,instruction,frequency,time,energy\n")
    (folder / "problem.json").write_text("{}")
    return [
        (group, ["trace", *STEP, "-o", output]),
        (group, ["plan", *STEP, *METHOD, "-o", output]),
        (group, ["simulate", pipeline, "--svg", output]),
        (group, ["simulate", pipeline, "--perfetto", output]),
        (group, ["show", pipeline, "-o", output]),
        (group, ["profile", "--quiet", "--output", output]),
        (group, ["profile", "--quiet", "--measurements", output]),
        (solve, [folder / "problem.json", "--output", output]),
        (energy, [profile, "--microbatches", "2", "--csv", output]),
        (energy, [profile, "--microbatches", "2", "--json", output]),
        (energy, [profile, "--microbatches", "2", "--plot", output]),
    ]


@pytest.mark.parametrize("name", ["absent/file", "kept/below", "x" * 300])
def test_output_that_cannot_be_written_is_refused_first(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> Any:
        raise AssertionError("expected no work before the output was looked at")

    for place in ("plan.trace.read_source", "plan.plan.read_source", "plan.profile.measure"):
        monkeypatch.setattr(f"alpa_mlir.cli.{place}", work)
    monkeypatch.setattr("alpa_mlir.cli.solve.load_problem", work)
    monkeypatch.setattr("alpa_mlir.cli.energy.EnergyProfile.load", work)
    (folder / "kept").write_text("kept")
    for command, arguments in writers(folder, folder / name):
        assert "cannot write" in refusal(*arguments, command=command), arguments
    assert (folder / "kept").read_text() == "kept"


def test_bad_input_of_the_other_commands(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("neither")
    kept = tmp_path / "kept"
    kept.write_text("kept")
    bad = tmp_path / "bad"
    assert "bad: JSON, byte 0: expected" in refusal(bad, "--output", kept, command=solve)
    line = refusal(bad, "--microbatches", "2", "--csv", kept, command=energy)
    assert "cannot read the energy profile" in line
    assert "does not exist" in refusal("absent", "--microbatches", "2", command=energy)
    assert "Missing option '--microbatches'" in refusal(bad, command=energy)
    assert "No such option" in refusal(bad, "--guess", command=solve)
    assert kept.read_text() == "kept"


def test_alpa_opt_leaves_its_output_where_its_input_is_no_module(tmp_path: Path) -> None:
    """As `mlir-opt`, it says so with the place in the file, and its exit code is 1."""
    (tmp_path / "bad.mlir").write_text("no module")
    (tmp_path / "kept.mlir").write_text("kept")
    ran = run_module("alpa_mlir.cli.opt", "bad.mlir", "-o", "kept.mlir", folder=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("bad.mlir:1:1: error: ")
    assert (tmp_path / "kept.mlir").read_text() == "kept"
