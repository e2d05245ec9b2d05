"""`alpa-plan`: what its commands print and write. How they refuse: test_refused_commands.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import alpa_mlir as alpa
import jax
import pytest
from alpa_mlir.cli.plan.main import group
from alpa_mlir.frontend.file import Roles, read_program
from alpa_mlir.ir import jaxlib
from click.testing import CliRunner
from commands import METHOD, STEP, answer, lowered, refusal, run_module
from programs.hand_made_plans import hand_made_plan, whole_plan
from steps_to_trace import abstract_args, train_step

SPELLED = [
    "steps_to_trace:train_step",
    "--arg", '{"w1": "f32[64,64]", "w2": "float32[64, 64]"}',
    "--arg", '{"x": "f32[64,64]", "y": "f32[64,64]"}',
]  # fmt: skip


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


@pytest.mark.parametrize("name", ["f32", "bf16", "int8", "i1", "key<fry>", "key<rbg>"])
def test_trace_takes_dtypes_as_mlir_or_jax_names_them(name: str) -> None:
    told = json.loads(answer("trace", "steps_to_trace:same", "--arg", f"{name}[4]", "--json"))
    names = {"f32": "float32", "bf16": "bfloat16", "i1": "bool"}
    assert [each["dtype"] for each in told["arguments"]] == [names.get(name, name)]


def test_trace_as_json_says_what_was_found() -> None:
    told = json.loads(answer("trace", *STEP, "--json"))
    assert told["name"] == "train_step"
    assert told["arguments"][2] == {
        "name": "batch['x']", "dtype": "float32", "shape": [64, 64], "batch_dim": 0,
        "state_result": None, "gradient_result": None, "is_donated": False,
    }  # fmt: skip


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
        (["--slow", "0=-1"], "a positive number of at most 1e+06, got -1.0"),
        (["--slow-stages", "0=nan"], "a positive number of at most 1e+06, got nan"),
        (["--lost-nodes", "0"], "without nodes 0 the plan cannot run"),
        (["--inter-node", "0"], "a positive number of at most 1e+06, got 0.0"),
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
    ran = run_module(module, "compare", "whole.json", "absent.json", folder=folder)
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
