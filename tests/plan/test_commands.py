"""`alpa-plan` and its fellows: what they print and write, and how they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import alpa_mlir as alpa
import jax
import pytest
from alpa_mlir.cli.energy import main as energy
from alpa_mlir.cli.plan.main import group
from alpa_mlir.cli.solve import main as solve
from alpa_mlir.frontend.file import Roles, read_program
from alpa_mlir.ir import jaxlib
from click.testing import CliRunner, Result
from programs.hand_made_plans import hand_made_plan, whole_plan
from steps_to_trace import abstract_args, train_step

STEP = ["steps_to_trace:train_step", "--args", "steps_to_trace:abstract_args"]
SPELLED = [
    "steps_to_trace:train_step",
    "--arg", '{"w1": "f32[64,64]", "w2": "float32[64, 64]"}',
    "--arg", '{"x": "f32[64,64]", "y": "f32[64,64]"}',
]  # fmt: skip
METHOD = ["--method", "ShardParallel", "--mesh-shape", "8", "--cluster", "dgx-h100", "--quiet"]


def run(*arguments: object, command: Any = group) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def answer(*arguments: object) -> str:
    ran = run(*arguments)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def refusal(*arguments: object, command: Any = group) -> str:
    """The one line of a command that refuses its input."""
    ran = run(*arguments, command=command)
    assert ran.exit_code == 2, ran.output
    assert isinstance(ran.exception, SystemExit), ran.exception
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    hand_made_plan().save(tmp_path / "pipeline.json")
    whole_plan().save(tmp_path / "whole.json")
    return tmp_path


# --- trace ---


def test_trace_writes_a_module_that_is_a_step(tmp_path: Path) -> None:
    said = answer("trace", *STEP, "-o", tmp_path / "step.mlir", "--platform", "cuda")
    assert said.startswith("train_step: 4 arguments, 2 of them state and 2 of the batch, 3 results")
    read = read_program((tmp_path / "step.mlir").read_bytes(), "train_step")
    assert [each.name for each in read.arguments][:2] == ["params['w1']", "params['w2']"]
    assert [each.state_result for each in read.arguments] == [0, 1, None, None]
    assert [each.batch_dim for each in read.arguments] == [None, None, 0, 0]
    assert all(each.is_donated for each in read.arguments[:2])


def test_trace_of_shapes_spelled_out_is_the_same() -> None:
    assert answer("trace", *SPELLED) == answer("trace", *STEP)


def test_trace_as_json_says_what_was_found() -> None:
    told = json.loads(answer("trace", *STEP, "--json"))
    assert told["name"] == "train_step"
    assert told["arguments"][2] == {
        "name": "batch['x']", "dtype": "float32", "shape": [64, 64], "batch_dim": 0,
        "state_result": None, "gradient_result": None, "is_donated": False,
    }  # fmt: skip


def lowered() -> Any:
    return jax.jit(train_step, donate_argnums=0).lower(*abstract_args())


@pytest.mark.parametrize("form", ["text", "bytecode", "artifact"])
def test_trace_takes_every_form_of_stablehlo(form: str, tmp_path: Path) -> None:
    if form == "artifact":
        source = jax.export.export(jax.jit(train_step, donate_argnums=0))(*abstract_args())
        data = source.mlir_module_serialized
    else:
        with jaxlib.parsed(lowered().as_text()) as module:
            data = _bytes(module, form)
    (tmp_path / "step.mlir").write_bytes(data)
    told = json.loads(answer("trace", tmp_path / "step.mlir", "--json", "--batch-argnums", "2-3", "--state", "0-1:0-1"))  # fmt: skip # noqa: E501
    assert [each["state_result"] for each in told["arguments"]] == [0, 1, None, None]
    assert [each["batch_dim"] for each in told["arguments"]] == [None, None, 0, 0]
    assert told["name"] == "step"


def _bytes(module: Any, form: str) -> bytes:
    if form == "text":
        return str(module).encode()
    import io

    file = io.BytesIO()
    module.operation.write_bytecode(file)
    return file.getvalue()


def test_donated_arguments_of_a_foreign_module_are_its_state() -> None:
    read = read_program(lowered().as_text(), "step")
    assert [each.state_result for each in read.arguments] == [0, 1, None, None]
    assert [each.name for each in read.results] == ["result[0]['w1']", "result[0]['w2']", "result[1]"]  # fmt: skip # noqa: E501
    stated = read_program(lowered().as_text(), "step", Roles(batch=(3,)))
    assert [each.batch_dim for each in stated.arguments] == [None, None, None, 0]


# --- plan ---


def test_plan_of_a_traced_file_is_that_of_the_function(tmp_path: Path) -> None:
    answer("trace", *STEP, "-o", tmp_path / "train_step.mlir", "--platform", "cuda")
    said = answer("plan", tmp_path / "train_step.mlir", *METHOD, "-o", tmp_path / "p.json")
    plan = alpa.Plan.load(tmp_path / "p.json")
    assert said == plan.explain() + "\n"
    told = json.loads(answer("plan", *STEP, *METHOD, "--json"))
    assert told["stages"] == json.loads((tmp_path / "p.json").read_text())["stages"]
    assert alpa.Plan.from_json(told).program_hash == plan.program_hash
    assert plan.mesh.axis_sizes == (8,)


def test_plan_for_a_cluster_on_file(tmp_path: Path) -> None:
    alpa.Cluster.preset("p3.16xlarge").save(tmp_path / "cluster.json")
    told = json.loads(
        answer("plan", *STEP, "--method", "DataParallel", "--cluster", tmp_path / "cluster.json",
               "--quiet", "--json")
    )  # fmt: skip
    assert told["cluster"]["name"] == "p3.16xlarge"
    assert told["method"] == "DataParallel"


# --- explain, simulate, compare, show ---


def test_explain_prints_tables_or_data(folder: Path) -> None:
    plan = alpa.Plan.load(folder / "pipeline.json")
    assert answer("explain", folder / "pipeline.json") == plan.explain() + "\n"
    told = json.loads(answer("explain", folder / "whole.json", "--json"))
    assert told["plan"]["step_seconds"] == whole_plan().step_seconds


def test_simulate_prints_draws_and_traces(folder: Path) -> None:
    files = ["--svg", folder / "t.svg", "--perfetto", folder / "t.json"]
    said = answer("simulate", folder / "pipeline.json", *files)
    assert "bubble" in said
    assert ElementTree.fromstring((folder / "t.svg").read_text()).tag.endswith("svg")
    events = json.loads((folder / "t.json").read_text())["traceEvents"]
    told = json.loads(answer("simulate", folder / "pipeline.json", "--json"))
    assert len(told["tasks"]) == 2 * (2 * 4 + 1)
    assert len(told["tasks"]) + len(told["transfers"]) == len([e for e in events if e["ph"] == "X"])
    assert max(task["end_seconds"] for task in told["tasks"]) == told["step_seconds"]
    assert told["slowdown"] == 1
    assert sum(_numbers_of(told["time"])) == pytest.approx(2 * told["step_seconds"])


def _numbers_of(data: dict[str, Any]) -> list[float]:
    values = (each.values() if isinstance(each, dict) else [each] for each in data.values())
    return [number for group in values for number in group]


def test_simulate_of_a_slower_cluster(folder: Path) -> None:
    asked = ["simulate", folder / "pipeline.json", "--slow", "3=1.5", "--intra-node", "2"]
    expected = hand_made_plan().what_if({3: 1.5}, intra_node=2)
    assert json.loads(answer(*asked, "--json"))["slowdown"] == expected.slowdown > 1
    assert answer(*asked).startswith(str(expected))


def test_simulate_of_one_program_says_what_is_known(folder: Path) -> None:
    told = json.loads(answer("simulate", folder / "whole.json", "--json"))
    assert told["step_seconds"] == whole_plan().step_seconds
    assert "all-reduce" in answer("simulate", folder / "whole.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--slow", "three"], "such as 3=1.2, got three"),
        (["--slow", "99=2"], "expected a device of 0 to 7, got 99"),
        (["--slow", "0=-1"], "a positive number, got -1.0"),
        (["--slow-stages", "0=nan"], "a positive number, got nan"),
        (["--lost-nodes", "0"], "without nodes 0 the plan cannot run"),
        (["--inter-node", "0"], "a positive number, got 0.0"),
    ],
)
def test_what_if_that_cannot_be(words: list[str], message: str, folder: Path) -> None:
    (folder / "kept.svg").write_text("kept")
    asked = ["simulate", folder / "pipeline.json", *words, "--svg", folder / "kept.svg"]
    assert message in refusal(*asked)
    assert (folder / "kept.svg").read_text() == "kept"


def test_compare_prints_tables_or_data(folder: Path) -> None:
    files = folder / "pipeline.json", folder / "whole.json"
    assert "bubble" in answer("compare", *files)
    assert json.loads(answer("compare", *files, "--json"))["settings"]


def test_show_writes_or_opens_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    answer("show", folder / "pipeline.json", "-o", folder / "p.html")
    assert not opened
    assert (folder / "p.html").read_text().startswith("<!doctype html>")
    told = json.loads(answer("show", folder / "pipeline.json", "--json"))
    assert told["is_open"]
    assert opened == [Path(told["page"]).as_uri()]
    assert Path(told["page"]).read_text() == (folder / "p.html").read_text()


# --- The program ---


@pytest.mark.parametrize("module", ["alpa_mlir.plan", "alpa_mlir.cli.plan.main"])
def test_command_is_a_module(module: str, folder: Path) -> None:
    command = [sys.executable, "-m", module, "compare", str(folder / "whole.json"), "absent.json"]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: cannot read the plan absent.json")
    assert len(ran.stderr.splitlines()) == 1


def test_shell_completes_commands_options_and_presets() -> None:
    def completed(*words: str) -> str:
        environment = {
            "_ALPA_PLAN_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        return CliRunner().invoke(group, [], prog_name="alpa-plan", env=environment).output

    assert completed("alpa-plan", "ex") == "plain,explain\n"
    assert "plain,--num-microbatches" in completed("alpa-plan", "plan", "--num")
    assert completed("alpa-plan", "plan", "--cluster", "dgx-h1") == "plain,dgx-h100\n"
    assert "plain,ShardParallel" in completed("alpa-plan", "plan", "--method", "Shard")


def test_every_command_has_help_and_json() -> None:
    for name, command in group.commands.items():
        said = answer(name, "--help")
        assert "--json" in said
        assert command.help


# --- What is refused ---


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
    (["steps_to_trace:train_step", "--arg", "f32[8"], "expected a shape such as f32[8,16]"),
    (["steps_to_trace:train_step", "--arg", '{"w": 8}'], "such as f32[8,16], got 8"),
    ([*STEP, "--batch-argnums", "2"], "expected batch_argnums between 0 and 1, got 2"),
    ([*STEP, "--batch-argnums", "one"], "expected positions such as 0,3-5, got one"),
    ([*STEP, "--state", "0:0"], "expected no --state beside a function"),
    (["{mlir}"], "cannot read the module"),
    (["{step}", "--arg", "f32[8]"], "expected no --arg and --args beside a StableHLO file"),
    (["{step}", "--batch-argnums", "9"], "expected arguments 0 to 3"),
    (["{step}", "--state", "0-1:0"], "expected as many arguments as results"),
    (["{step}", "--state", "0:2"], "expected argument 0 to come back as a result of its type"),
    (["{step}", "--state", "0:9"], "expected results 0 to 2"),
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
    command = [sys.executable, "-m", "alpa_mlir.cli.opt", "bad.mlir", "-o", "kept.mlir"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("bad.mlir:1:1: error: ")
    assert (tmp_path / "kept.mlir").read_text() == "kept"
