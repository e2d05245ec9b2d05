"""Plans compiled by XLA's GPU compiler, on machines without a GPU; and the benchmark of many."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir.errors import ClusterError
from alpa_mlir.xla.absent import check_compiler
from click.testing import CliRunner
from oracles.benchmark_modules import load_benchmark

PRESETS = [
    "dgx-a100",
    "dgx-b200",
    "dgx-h100",
    "dgx-h200",
    "g6e.48xlarge",
    "gh200",
    "h100-pcie",
    "p4d.24xlarge",
    "workstation-rtx4090",
]


def missing() -> str | None:
    try:
        check_compiler(alpa.Cluster.preset("dgx-h100"))
    except ClusterError as error:
        return str(error)
    return None


MISSING = missing()
needs_compiler = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")


def mlp(cluster: alpa.Cluster, size: int, method: Any) -> alpa.Plan:
    def f(params: Any, batch: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            return (jnp.tanh(batch @ params[0]) @ params[1] ** 2).mean()

        return jax.tree.map(lambda p, g: p - g, params, jax.grad(loss)(params))

    struct = jax.ShapeDtypeStruct((size, size), "float32")
    return alpa.parallelize(f, method, cluster).plan([struct] * 2, struct)


@needs_compiler
def test_gpu_plan_is_held_against_both_schedulers() -> None:
    cluster = alpa.Cluster.preset("dgx-h100", num_nodes=2)
    found = mlp(cluster, 2048, alpa.Zero2Parallel(mesh_shape=(2, 8))).validate()
    assert found.num_devices == 16
    assert abs(found.collective_error) < 0.02
    assert found.actual_collective_bytes > 0
    (memory,) = found.memory
    assert memory.plain_bytes is not None
    assert 2048**2 * 4 < memory.needed_bytes < 20 * 2048**2 * 4


@needs_compiler
@pytest.mark.parametrize("name", PRESETS)
def test_every_gpu_that_is_described_is_compiled_for(name: str) -> None:
    cluster = alpa.Cluster.preset(name, num_nodes=1)
    found = mlp(cluster, 256, alpa.DataParallel()).validate()
    assert found.device_kind == cluster.device.kind
    assert found.num_programs == 1


# --- The benchmark ---


@pytest.fixture(scope="module")
def benchmark() -> Any:
    return load_benchmark("validate_gpu")


def record(predicted: int, plain: int, **changes: Any) -> dict[str, Any]:
    memory = {"stage": 0, "predicted_bytes": predicted, "actual_bytes": 9, "plain_bytes": plain}
    collectives = {
        "kind": "all-gather",
        "axes": "x",
        "stage": 0,
        "predicted_bytes": 99,
        "actual_bytes": 100,
        "unmatched": ["only in HLO: c"],
    }
    found = {"collective_error": 0.0, "memory": [memory], "collectives": [collectives]}
    found |= {"warnings": [], "seconds": 1.0, **changes}
    return {"plan": "p", "step_seconds": 0.1, "validation": found}


def test_every_plan_has_a_name_of_its_own(benchmark: Any) -> None:
    names = [case.plan_name for case in benchmark.cases()]
    assert len(names) == len(set(names)) == 46


def test_benchmark_goes_on_where_it_was(benchmark: Any, tmp_path: Path) -> None:
    path = tmp_path / "plans.jsonl"
    assert benchmark.read_records(path, "now") == {}
    old, new = {"commit": "before", "plan": "a"}, {"commit": "now", "plan": "b"}
    path.write_text(f'{json.dumps(old)}\n{json.dumps(new)}\n{{"commit": "no')
    assert benchmark.read_records(path, "now") == {"b": new}


def test_misses_are_named_with_their_cause(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(benchmark.misses(record(105, 100))) == []
    assert list(benchmark.misses(record(120, 100))) == [
        "p: memory of stage 0 +20.0%: cause not found"
    ]
    monkeypatch.setitem(benchmark.SUPPOSED_CAUSES, "p", "a second buffer")
    assert list(benchmark.misses(record(120, 100))) == [
        "p: memory of stage 0 +20.0%: a second buffer"
    ]
    assert list(benchmark.misses(record(100, 100, collective_error=-0.03))) == [
        "p: all-gather over x of stage 0: only in HLO: c"
    ]
    assert list(benchmark.misses({"plan": "p", "failure": "it broke"})) == ["p: it broke"]


def test_errors_of_plans_are_kept(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of memory, that of the stage which is farthest off."""
    first, second = record(105, 100), record(100, 100)
    first["validation"]["memory"] += record(88, 100)["validation"]["memory"]
    lines = [{**first, "plan": "a", "commit": "now"}, {**second, "plan": "b", "commit": "now"}]
    (tmp_path / "plans.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(benchmark, "commit", lambda: "now")
    monkeypatch.setattr(benchmark, "cases", lambda: [SimpleNamespace(plan_name=n) for n in "ab"])
    monkeypatch.setattr(benchmark, "KEPT", tmp_path / "known_error.json")
    output = ["--output", str(tmp_path / "plans.jsonl"), "--record"]
    ran = CliRunner().invoke(benchmark.main, output)
    assert ran.exit_code == 1, ran.output  # one of two is within 10 %, not nine of ten
    assert "2 plans: collectives at most 1.00%; memory 6.0% on average, at most 12.0%" in ran.output
    kept = json.loads((tmp_path / "known_error.json").read_text())
    assert [kept["memory"][key] for key in ("count", "mean", "worst")] == [2, 0.06, 0.12]
    assert kept["collectives"]["worst"] == 0.01


def test_plan_without_a_device_is_a_miss_of_its_own(benchmark: Any) -> None:
    case = next(benchmark.cases())
    device = replace(alpa.Cluster.preset("dgx-h100").device, kind="no such GPU")

    class Unplanned:
        plan_name = case.plan_name

        def plan(self) -> None:
            check_compiler(replace(alpa.Cluster.preset("dgx-h100"), device=device))

    assert "expected a kind of GPU" in benchmark.measure(Unplanned())["failure"]
