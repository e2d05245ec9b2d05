"""Plans held against XLA: what is compared, what is saved for it, what is refused."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import AlpaError, ClusterError, CompileError, PlanError
from alpa_mlir.frontend.saved import FlatType
from alpa_mlir.models.workload import workload
from alpa_mlir.plan.data import PlannedCollective
from alpa_mlir.plan.json import plan_to_json
from alpa_mlir.progress import Progress, Stopwatch
from alpa_mlir.report.known_error import ErrorOf, KnownError, known_error
from alpa_mlir.report.validation import explain_validation
from alpa_mlir.validation import run
from alpa_mlir.validation.compiled import validate
from alpa_mlir.xla.absent import gpu_target
from alpa_mlir.xla.axes import axes_of
from alpa_mlir.xla.collectives import HloCollective
from alpa_mlir.xla.comparison import (
    CollectiveTotals,
    StageMemory,
    Validation,
    compare_collectives,
)
from alpa_mlir.xla.diagnostics import warnings_in
from commands import answer, refusal

PIPELINE = alpa.PipelineParallel(
    num_stages=2, num_microbatches=2, num_layers=2, num_processes=0, cache_dir=None
)
WHOLE = alpa.Zero2Parallel(mesh_shape=(2, 4))


def gpt() -> Any:
    return workload("gpt", "debug", 8, optax.adam(1e-3))


@pytest.fixture(scope="module")
def whole() -> alpa.Plan:
    return alpa.parallelize(gpt().train_step, WHOLE).plan(*gpt().abstract_arguments())


def validated(plan: alpa.Plan) -> Any:
    """In this process, which has the devices."""
    assert plan.module is not None
    return validate(plan, plan.module, Stopwatch("test"))


# --- What is found ---


@pytest.mark.slow
@pytest.mark.parametrize("method", [WHOLE, PIPELINE], ids=["whole", "pipeline"])
def test_validation_is_what_the_executables_say(method: Any, tmp_path: Path) -> None:
    step = alpa.parallelize(gpt().train_step, method)
    executable = step.compile(*gpt().abstract_arguments())
    plan = executable.plan
    plan.save(tmp_path / "plan.json")
    found = validated(alpa.Plan.load(tmp_path / "plan.json"))
    actual = sum(each.bytes * each.count for each in executable.collectives())
    assert found.actual_collective_bytes == actual > 0
    assert found.predicted_collective_bytes == sum(plan.collective_bytes().values())
    assert max(each.actual_bytes for each in found.memory) == executable.memory_analysis()
    assert max(each.predicted_bytes for each in found.memory) == plan.memory_bytes
    assert {each.plain_bytes for each in found.memory} == {None}  # CPUs have one scheduler
    assert {each.axes for each in found.collectives} <= {"x", "y", "x y"}
    assert not found.warnings


@pytest.mark.slow
def test_equal_stages_are_compiled_once() -> None:
    def f(params: Any, batch: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            x = batch
            for weight in params:
                x = jnp.tanh(x @ weight)
            return (x**2).mean()

        return jax.tree.map(lambda p, g: p - g, params, jax.grad(loss)(params))

    struct = jax.ShapeDtypeStruct((64, 64), "float32")
    method = replace(PIPELINE, num_stages=4, num_layers=4)
    found = validated(alpa.parallelize(f, method).plan([struct] * 4, struct))
    assert len(found.memory) == 4
    assert found.num_programs <= 8  # of 12: two stages in the middle, four updates


@pytest.mark.slow
def test_steps_with_keys_and_microbatch_numbers_are_validated() -> None:
    def f(params: Any, batch: jax.Array, key: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            kept = jax.random.bernoulli(key, 0.5, batch.shape)
            return ((jnp.where(kept, batch, 0.0) @ params[0] @ params[1]) ** 2).mean()

        return jax.tree.map(lambda p, g: p - g, params, jax.grad(loss)(params))

    struct = jax.ShapeDtypeStruct((64, 64), "float32")
    key = jax.eval_shape(lambda: jax.random.key(0))
    plan = alpa.parallelize(f, PIPELINE).plan([struct] * 2, struct, key)
    assert validated(plan).memory


@pytest.mark.slow
def test_command_prints_tables_or_json(tmp_path: Path, whole: alpa.Plan) -> None:
    whole.save(tmp_path / "plan.json")
    told = json.loads(answer("validate", tmp_path / "plan.json", "--json", "--quiet"))
    assert told["version"] == 1
    assert told["collectives"]
    assert abs(told["collective_error"]) < 0.01


def test_validation_as_tables_says_what_is_said_as_it_is() -> None:
    sums = CollectiveTotals(0, "all-reduce", "x", 900, 1000, 2, 1, ("f32[8] of dot: only planned",))
    memory = StageMemory(0, predicted_bytes=90, actual_bytes=120, plain_bytes=100)
    found = Validation(
        "step", "Auto", "H100", 2, "XLA", 100, False, 1, 3.0, (sums,), (memory,), ("[b]spills",)
    )
    text = explain_validation(found)
    assert "collectives -10.0% in bytes, peak memory -10.0%; 1 warning\n" in text
    assert re.search(r"0 +all-reduce +x +900 B +1 kB +-10\.0% +2 +1\n", text)
    assert re.search(r"0 +90 B +100 B +-10\.0% +120 B \(over the limit\)\n", text)
    assert text.splitlines()[-2:] == [
        "all-reduce over x: f32[8] of dot: only planned",
        "XLA: [b]spills",
    ]


@pytest.mark.slow
def test_validate_tells_how_far_it_is(whole: alpa.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, whatever the devices of this one."""
    seen: list[Progress] = []
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    found = whole.validate(seen.append)
    assert (found.num_devices, found.num_programs) == (8, 1)
    assert any(each.part == "programs" and each.done == 1 for each in seen)


WORKER = """
import sys
from alpa_mlir.errors import CompileError
from alpa_mlir.validation import worker

def validate(plan, module, stopwatch):
    with stopwatch("compile"):
        print("what others say")
    raise CompileError("refused")

worker.validate = validate
worker.main(*sys.argv[1:])
"""


@pytest.mark.slow
def test_progress_is_all_that_the_worker_says(tmp_path: Path, whole: alpa.Plan) -> None:
    question, answer = tmp_path / "question.json", tmp_path / "answer.json"
    question.write_text(json.dumps({"plan": plan_to_json(whole), "module": ""}))
    ran = subprocess.run(
        [sys.executable, "-c", WORKER, str(question), str(answer)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {json.loads(line)["part"] for line in ran.stdout.splitlines()} == {"compile"}
    assert "what others say" in ran.stderr
    assert json.loads(answer.read_text()) == {"error": "CompileError", "message": "refused"}


# --- What is refused ---


def saved(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, alpa.Plan], None]:
    def write(path: Path, plan: alpa.Plan) -> None:
        data = plan.to_json()
        path.write_text(json.dumps(change(data) or data))

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path, _: None, "cannot read the plan"),
        (lambda path, _: path.write_text("{"), "cannot read the plan"),
        (lambda path, _: path.write_text("[1]"), "expected the fields of alpa_mlir.Plan, got list"),
        (saved(lambda d: d.update(version=2)), "expected a plan of version 4, got 2; plan again"),
        (saved(lambda d: d.pop("module") and None), "expected a plan that has its program in it"),
        (saved(lambda d: d.update(module=1)), "module: expected text that was compressed"),
        (saved(lambda d: d.update(module="eJw=")), "module: expected text that was compressed"),
        (saved(lambda d: d.update(module="!")), "module: expected text that was compressed"),
        (saved(lambda d: d.update(program_hash="0" * 64)), "expected the program 'train_step'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    write: Any, message: str, tmp_path: Path, whole: alpa.Plan
) -> None:
    write(tmp_path / "plan.json", whole)
    assert message in refusal("validate", tmp_path / "plan.json", "--quiet")


def of_kind(plan: alpa.Plan, **fields: Any) -> alpa.Plan:
    device = replace(plan.cluster.device, platform="cuda", **fields)
    return replace(plan, cluster=replace(plan.cluster, device=device))


def test_gpus_without_their_compiler(whole: alpa.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpa_mlir.xla.absent._PLUGINS", ("no-such-package",))
    plan = of_kind(whole, kind="NVIDIA H200")
    with pytest.raises(ClusterError, match=r"pip install 'alpa_mlir\[gpu-aot\]'"):
        plan.validate()
    monkeypatch.setattr("alpa_mlir.xla.absent._PLUGINS", ("numpy",))
    with pytest.raises(ClusterError, match=r"of jaxlib's version, [\d.]+, got numpy"):
        plan.validate()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "Tesla V100-SXM2-16GB"}, "a kind of GPU that can be compiled for without one"),
        ({"platform": "tpu"}, "to compile for, got the platform 'tpu'"),
    ],
)
def test_devices_that_nothing_compiles_for(
    fields: dict[str, str], message: str, whole: alpa.Plan
) -> None:
    device = replace(whole.cluster.device, **{"platform": "cuda", **fields})
    with pytest.raises(ClusterError, match=message):
        replace(whole, cluster=replace(whole.cluster, device=device)).validate()


def test_compiler_that_crashes(whole: alpa.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_WORKER", "faulthandler._sigabrt")
    with pytest.raises(CompileError, match=r"XLA ended the process that compiled 'train_step'"):
        whole.validate()


def test_program_that_calls_python_is_not_kept() -> None:
    def f(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda _: None, x.sum())
        return x + 1

    step = alpa.parallelize(f, alpa.ShardParallel(), batch_argnums=(0,), donate_argnums=())
    plan = step.plan(jnp.ones((8, 8)))
    assert "module" not in plan.to_json()
    with pytest.raises(PlanError, match="unless the program calls Python functions"):
        plan.validate()


def test_dtype_that_jax_does_not_know() -> None:
    with pytest.raises(AlpaError, match="expected the name of a dtype of JAX's, got 'f99'"):
        FlatType("x", "f99", (1,)).aval()


# --- Parts ---


def hlo_collective(kind: str, groups: Any, num_bytes: int = 8) -> HloCollective:
    return HloCollective(kind, num_bytes, num_bytes, groups, 1, "c", "")


@pytest.mark.parametrize("shape", [(8,), (2, 4), (4, 1, 2), (2, 2, 2)])
def test_axes_of_groups_are_found_again(shape: tuple[int, ...]) -> None:
    mesh = LogicalMesh.of_shape(shape)
    grid = np.arange(8).reshape(shape)
    for chosen in np.ndindex(*(2 if size > 1 else 1 for size in shape)):
        axes = [axis for axis, is_in in enumerate(chosen) if is_in]
        others = [axis for axis in range(len(shape)) if axis not in axes]
        rows = grid.transpose(others + axes)
        size = int(np.prod([shape[axis] for axis in axes]))
        groups = tuple(tuple(reversed(row)) for row in rows.reshape(-1, size).tolist())
        found = axes_of(hlo_collective("all-reduce", groups), mesh)
        assert found == tuple(mesh.axis_names[axis] for axis in axes)


def test_groups_along_no_axes_have_none() -> None:
    mesh = LogicalMesh.of_shape((2, 4))
    odd = ((0, 5), (1, 4), (2, 7), (3, 6))
    assert axes_of(hlo_collective("all-reduce", odd), mesh) is None
    totals = compare_collectives(0, mesh, [], [hlo_collective("all-reduce", odd)])
    assert [each.axes for each in totals] == ["?"]
    assert axes_of(hlo_collective("collective-permute", ((0, 4), (4, 0))), mesh) == ("x",)
    assert axes_of(hlo_collective("collective-permute", ((0, 5), (1, 1))), mesh) == ("x", "y")


def test_collectives_without_a_partner_are_named() -> None:
    mesh = LogicalMesh.of_shape((2, 4))
    planned = [
        PlannedCollective("all-gather", ("y",), 4_000_000, 2, 1.0, 1, "dot", "its operand", ""),
        PlannedCollective("all-gather", ("y",), 1_000_000, 1, 1.0, 2, "add", "its operand", ""),
    ]
    groups = ((0, 1, 2, 3), (4, 5, 6, 7))
    found = [hlo_collective("all-gather", groups, 4_000_000)]
    (totals,) = compare_collectives(0, mesh, planned, found)
    assert (totals.predicted_bytes, totals.actual_bytes) == (9_000_000, 4_000_000)
    assert totals.unmatched == (
        "only planned: 1 x 4 MB, dot: its operand",
        "only planned: 1 x 1 MB, add: its operand",
    )


def test_warnings_of_xla_are_read_once_each() -> None:
    log = (
        "W0000 spmd.cc:1] Involuntary full rematerialization. The compiler cannot go from A to B\n"
        "W0000 remat.cc:3] Can't reduce memory use below 13.5GiB by rematerialization\n"
        "W0000 remat.cc:3] Can't reduce memory use below 13.5GiB by rematerialization\n"
        "E0000 slow_operation_alarm.cc:73] something is slow\n"
    )
    assert warnings_in(log) == [
        "replicated a tensor to reshard it: The compiler cannot go from A to B",
        "cannot use less memory than 13.5GiB by rematerialization",
    ]


@pytest.mark.parametrize("name", ["dgx-a100", "dgx-h100", "dgx-h200", "dgx-b200", "g6e.48xlarge"])
def test_target_has_the_memory_of_the_cluster(name: str) -> None:
    device = alpa.Cluster.preset(name).device
    text = gpu_target(device)
    assert f"device_memory_size: {device.memory_bytes}" in text
    assert f'device_description_str: "{device.kind}"' in text


def test_plan_says_how_far_the_model_was_off(whole: alpa.Plan) -> None:
    known = known_error()
    lines = whole.explain().splitlines()
    first = lines.index("the model's last known error, on average and at most:") + 1
    for line, of in zip(
        lines[first:], (known.collectives, known.memory, known.seconds), strict=False
    ):
        assert f"{of.mean:.1%}" in line
        assert f"{of.count} {of.against}, {of.date}" in line


@pytest.mark.slow
def test_program_that_xla_refuses_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not compiled any more are not waited for."""
    plan = alpa.parallelize(gpt().train_step, PIPELINE).plan(*gpt().abstract_arguments())

    def refuse(_: Any, name: str, *__: Any) -> Any:
        time.sleep(0.1)  # while others wait for their turn
        raise CompileError(f"'{name}' is refused")

    monkeypatch.setattr("alpa_mlir.validation.compiled.compile_lowered", refuse)
    raised: list[BaseException] = []

    def run_validation() -> None:
        try:
            validated(plan)
        except CompileError as error:
            raised.append(error)

    thread = threading.Thread(target=run_validation, daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive()
    assert "is refused" in str(raised)


def test_known_error_is_that_of_predictions_against_what_is_so(tmp_path: Path) -> None:
    pairs = [(90, 100), (130, 100), (0, 0), (100, 99)]
    found = ErrorOf.of(pairs, "plans", "2026-11-27", "python measure.py")
    assert found.count == 4
    assert found.mean == pytest.approx((0.1 + 0.3 + 0 + 1 / 99) / 4)
    assert found.worst == pytest.approx(0.3)
    KnownError(found, found, found).save(tmp_path / "known_error.json")
    kept = json.loads((tmp_path / "known_error.json").read_text())
    assert kept["memory"]["mean"] == round(found.mean, 4)
    with pytest.raises(ValueError, match="at least one"):
        ErrorOf.of([], "plans", "2026-11-27", "python measure.py")


@pytest.mark.slow
def test_hlo_that_is_not_read_in_full_is_refused(
    whole: alpa.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> Any:
        raise ValueError("expected one of all-reduce to start, got 'odd-start'")

    monkeypatch.setattr("alpa_mlir.validation.compiled.parse_collectives", refuse)
    with pytest.raises(CompileError, match="the HLO of 'train_step' cannot be read: expected one"):
        validated(whole)
