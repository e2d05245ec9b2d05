"""Programs that were planned before are not planned again, and others are."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir import planner
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.progress import Progress

CLUSTER = alpa.Cluster.preset("p3.16xlarge")
WEIGHT = jax.ShapeDtypeStruct((64, 64), "float32")
BATCH = jax.ShapeDtypeStruct((32, 64), "float32")
METHOD = alpa.PipelineParallel(num_stages=2, num_microbatches=2, num_processes=0)


def train(params: dict[str, jax.Array], batch: jax.Array) -> Any:
    def loss_fn(params: dict[str, jax.Array]) -> jax.Array:
        return jnp.mean((jnp.tanh(batch @ params["a"]) @ params["b"]) ** 2)

    loss, grads = jax.value_and_grad(loss_fn)(params)
    return jax.tree.map(lambda w, g: w - 0.1 * g, params, grads), loss


def written_elsewhere(params: dict[str, jax.Array], batch: jax.Array) -> Any:
    def loss_fn(params: dict[str, jax.Array]) -> jax.Array:

        return jnp.mean((jnp.tanh(batch @ params["a"]) @ params["b"]) ** 2)

    loss, grads = jax.value_and_grad(loss_fn)(params)

    return jax.tree.map(lambda w, g: w - 0.1 * g, params, grads), loss


written_elsewhere.__name__ = written_elsewhere.__qualname__ = "train"


def other(params: dict[str, jax.Array], batch: jax.Array) -> Any:
    params, loss = train(params, batch)
    return params, loss + 1.0


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that were searched for."""
    found: list[str] = []
    search = planner._search

    def counted(prepared: Any, method: SearchedPipeline, *others: Any) -> Any:
        found.append(type(method).__name__)
        return search(prepared, method, *others)

    monkeypatch.setattr(planner, "_search", counted)
    return found


def plan(
    folder: Path | None,
    step: Callable[..., Any] = train,
    method: SearchedPipeline = METHOD,
    cluster: alpa.Cluster = CLUSTER,
    batch: jax.ShapeDtypeStruct = BATCH,
) -> alpa.Plan:
    kept = replace(method, cache_dir=folder)
    return alpa.parallelize(step, kept, cluster).plan({"a": WEIGHT, "b": WEIGHT}, batch)


def test_the_same_is_planned_once(tmp_path: Path, searches: list[str]) -> None:
    first = plan(tmp_path)
    assert plan(tmp_path).to_json() == first.to_json()
    assert plan(tmp_path, written_elsewhere).to_json() == first.to_json()
    assert len(searches) == 1
    plan(None)
    assert len(searches) == 2


def test_what_is_kept_runs(tmp_path: Path, searches: list[str]) -> None:
    for _ in range(2):
        method = replace(METHOD, cache_dir=tmp_path)
        step = alpa.parallelize(train, method, alpa.Cluster.local())
        params = {name: jnp.full((64, 64), 0.01) for name in "ab"}
        batch = jnp.linspace(-1, 1, 32 * 64).reshape(32, 64)
        expected = jax.jit(train)(params, batch)[1]
        assert step(params, batch)[1] == pytest.approx(expected, rel=1e-5)
    assert len(searches) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"step": other},
        {"method": replace(METHOD, num_microbatches=4)},
        {"method": replace(METHOD, memory_limit_bytes=1 << 30)},
        {"cluster": alpa.Cluster.preset("dgx-a100")},
        {"batch": jax.ShapeDtypeStruct((64, 64), "float32")},
    ],
    ids=["step", "microbatches", "memory", "cluster", "batch"],
)
def test_what_decides_on_the_plan_is_asked_about(
    tmp_path: Path, searches: list[str], changed: dict[str, Any]
) -> None:
    plan(tmp_path)
    plan(tmp_path, **changed)
    assert len(searches) == 2


def test_another_package_plans_anew(
    tmp_path: Path, searches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(tmp_path)
    monkeypatch.setattr("alpa_mlir.plan_cache._package", lambda: "another")
    plan(tmp_path)
    assert len(searches) == 2


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 4}', "null"])
def test_damaged_files_are_planned_anew(tmp_path: Path, searches: list[str], damage: str) -> None:
    first = plan(tmp_path)
    (file,) = (tmp_path / "plans").glob("*.json")
    whole = json.loads(file.read_text())
    file.write_text(damage)
    assert plan(tmp_path).to_json() == first.to_json()
    assert len(searches) == 2
    assert json.loads(file.read_text()) == whole


def test_what_the_user_ended_is_not_kept(tmp_path: Path, searches: list[str]) -> None:
    method = alpa.PipelineParallel(num_stages=2, num_processes=0, cache_dir=tmp_path)
    step = alpa.parallelize(train, method, CLUSTER)

    def interrupt(progress: Progress) -> None:
        if progress.part == "layers of 16 microbatches" and not progress.is_finished:
            raise KeyboardInterrupt

    step.stopwatch._on_progress = interrupt
    with pytest.warns(UserWarning, match="planning was interrupted"):
        step.plan({"a": WEIGHT, "b": WEIGHT}, BATCH)
    assert not list(tmp_path.glob("plans/*.json"))
    plan(tmp_path, method=method)
    assert len(searches) == 2
    assert list(tmp_path.glob("plans/*.json"))


def test_what_time_ended_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = planner._search

    def hurried(prepared: Any, method: Any, cluster: Any, stopwatch: Any) -> Any:
        stopwatch.is_cut_short = True  # as the table of costs and the solver do
        return search(prepared, method, cluster, stopwatch)

    monkeypatch.setattr(planner, "_search", hurried)
    plan(tmp_path)
    assert not list(tmp_path.glob("plans/*.json"))
