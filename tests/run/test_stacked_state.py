"""State of a scan over layers in a pipeline: on each stage its own rows, to the user one array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir.models.gpt import Form
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.options import FixedStages, Method, StageShape
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.stacked_array import StackedArray

LAYERS = 4


def gpt(form: Form = "scanned", layers: int = LAYERS) -> Workload:
    return workload("gpt", "debug", 8, optax.adamw(1e-3), num_layers=layers, form=form)


COMMON: dict[str, Any] = {
    "num_microbatches": 2,
    "num_layers": LAYERS,
    "num_processes": 0,
    "cache_dir": None,
    "split_stacks": True,
}
METHODS: dict[str, Method] = {
    "two": alpa.PipelineParallel(num_stages=2, **COMMON),
    "four": alpa.PipelineParallel(num_stages=4, **COMMON),
    # One layer, and three.
    "unlike": FixedStages(
        stages=(StageShape(1, (1, 4), (4,)), StageShape(3, (1, 4), (2, 2))), **COMMON
    ),
}


def pipelined(model: Workload, method: str = "two", **options: Any) -> Any:
    return alpa.parallelize(model.train_step, METHODS[method], **options)


def trained(step: Any, model: Workload, state: Any, num_steps: int = 3) -> tuple[list[float], Any]:
    losses: list[float] = []
    for number in range(num_steps):
        state, loss = step(state, model.example_batch(jax.random.key(number)))
        losses.append(float(loss))
    return losses, state


def stacks(state: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(state) if leaf.shape[:1] == (LAYERS,)]


@pytest.fixture(scope="module")
def reference() -> tuple[list[float], Any]:
    model = gpt()
    losses, state = trained(jax.jit(model.train_step), model, model.init_state(jax.random.key(0)))
    return losses, jax.device_get(state)


def assert_close(actual: Any, expected: Any) -> None:
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("method", ["two", "four"])
def test_training_equals_one_device(method: str, reference: tuple[list[float], Any]) -> None:
    model = gpt()
    step = pipelined(model, method)
    losses, state = trained(step, model, model.init_state(jax.random.key(0)))
    assert losses == pytest.approx(reference[0], rel=1e-5)
    assert_close(state, reference[1])
    for leaf in stacks(state):
        assert isinstance(leaf, jax.Array)
        assert len(leaf.sharding.device_set) == 8
    assert len(step._executables) == 1  # what comes back is what the next step takes
    total = jax.jit(lambda w: jnp.sum(w * w))(stacks(state)[0])
    np.testing.assert_allclose(total, np.sum(np.asarray(stacks(state)[0]) ** 2), rtol=1e-5)


def test_stages_keep_their_rows_only() -> None:
    model, unrolled = gpt(), gpt("unrolled")
    executables = [
        pipelined(each).compile(*each.abstract_arguments()) for each in (model, unrolled)
    ]
    rows, others = (each.plan for each in executables)
    assert rows.step_seconds == pytest.approx(others.step_seconds, rel=1e-6)
    for stage in range(2):
        kept, other = (
            sum(a.bytes_per_device for a in plan.arguments if a.stage == stage)
            for plan in (rows, others)
        )
        assert kept == other
    executable = executables[0]
    assert isinstance(executable, PipelineExecutable)
    state = executable.create_state(lambda: model.init_state(jax.random.key(0)))
    for leaf in stacks(state):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {LAYERS // 2}
    expected = model.init_state(jax.random.key(0))
    assert_close(state, expected)
    actual = executable.memory_by_device()
    for number, stage in enumerate(rows.stages):
        measured = max(actual[device] for device in executable.stage_devices[number])
        assert stage.memory_bytes == pytest.approx(measured, rel=0.3)


def test_unlike_stages_have_a_leaf_of_ours(reference: tuple[list[float], Any]) -> None:
    model = gpt()
    step = pipelined(model, "unlike")
    losses, state = trained(step, model, model.init_state(jax.random.key(0)))
    assert losses == pytest.approx(reference[0], rel=1e-5)
    assert any(isinstance(leaf, StackedArray) for leaf in jax.tree.leaves(state))
    assert_close(state, reference[1])
    assert len(step._executables) == 1
    leaf = next(leaf for leaf in stacks(state) if isinstance(leaf, StackedArray))
    np.testing.assert_array_equal(leaf - 1.0, np.asarray(leaf) - 1.0)
    assert jnp.asarray(leaf).shape == leaf.shape


def test_state_may_be_given_in_every_way() -> None:
    model = gpt()
    step = pipelined(model)
    batch = model.example_batch(jax.random.key(0))
    initial = jax.device_get(model.init_state(jax.random.key(0)))
    expected = step(initial, batch)[1]
    ways = [
        jax.device_put(initial, jax.devices()[5]),
        alpa.create_state(model.init_state, jax.random.key(0), like=step),
        jax.tree.map(jnp.asarray, initial),
    ]
    for state in ways:
        assert float(step(state, batch)[1]) == float(expected)
    assert len(step._executables) == 1


def test_donated_state_is_gone_and_kept_state_is_not() -> None:
    model = gpt()
    batch = model.example_batch(jax.random.key(0))
    step = pipelined(model)
    state, _ = step(model.init_state(jax.random.key(0)), batch)
    step(state, batch)
    assert stacks(state)[0].is_deleted()
    keeping = pipelined(model, donate_argnums=())
    state, _ = keeping(model.init_state(jax.random.key(0)), batch)
    first = keeping(state, batch)[1]
    assert float(keeping(state, batch)[1]) == float(first)


@pytest.mark.parametrize("method", ["two", "unlike"])
def test_checkpoint_has_the_array_that_the_user_knows(tmp_path: Path, method: str) -> None:
    model = gpt()
    step = pipelined(model, method)
    state = model.init_state(jax.random.key(0))
    state, _ = step(state, model.example_batch(jax.random.key(0)))
    before = jax.device_get(state)
    alpa.save(tmp_path / "saved", state, step).wait()
    other = alpa.parallelize(model.train_step, alpa.ShardParallel(mesh_shape=(2, 4)))
    for like in (step, other, pipelined(model, "four")):
        like.compile(*model.abstract_arguments())
        restored = alpa.restore(tmp_path / "saved", like=like)
        for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(before), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        assert np.isfinite(float(like(restored, model.example_batch(jax.random.key(1)))[1]))


def test_saved_plan_is_replayed(tmp_path: Path) -> None:
    model = gpt()
    step = pipelined(model)
    plan = step.plan(*model.abstract_arguments())
    plan.save(tmp_path / "plan.json")
    replayed = alpa.parallelize(
        model.train_step, alpa.FixedPlan(alpa.Plan.load(tmp_path / "plan.json"))
    )
    batch = model.example_batch(jax.random.key(0))
    losses = [
        float(each(model.init_state(jax.random.key(0)), batch)[1]) for each in (step, replayed)
    ]
    assert losses[0] == losses[1]


def test_smaller_last_batch_is_planned_anew_and_loses_no_state() -> None:
    model = gpt()
    step = pipelined(model)
    batch = model.example_batch(jax.random.key(0))
    half = jax.tree.map(lambda leaf: leaf[:4], batch)
    alone = jax.jit(model.train_step)
    state, expected = model.init_state(jax.random.key(0)), model.init_state(jax.random.key(0))
    for each in (batch, half, batch):
        state, loss = step(state, each)
        expected, other = alone(expected, each)
        assert float(loss) == pytest.approx(float(other), rel=1e-5)
