"""State saved under one plan comes back under others, bit for bit, and without this package."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from jax.sharding import NamedSharding, PartitionSpec

NUM_LAYERS, WIDTH, BATCH_SIZE = 4, 64, 16
OPTIMIZER = optax.adam(1e-2)
PIPELINE = alpa.PipelineParallel(
    num_stages=4,
    num_microbatches=2,
    num_layers=NUM_LAYERS,
    schedule="1f1b",
    num_processes=0,
    cache_dir=None,
)


def train_step(state: Any, batch: Any) -> Any:
    def loss_fn(params: Any) -> Any:
        hidden = batch["x"]
        for i in range(NUM_LAYERS):
            hidden = jnp.tanh(hidden @ params[f"layer{i}"])
        return jnp.mean((hidden - batch["y"]) ** 2)

    loss, gradients = jax.value_and_grad(loss_fn)(state["params"])
    updates, optimizer = OPTIMIZER.update(gradients, state["optimizer"])
    params = optax.apply_updates(state["params"], updates)
    return {"params": params, "optimizer": optimizer, "steps": state["steps"] + 1}, loss


def init(key: Any) -> Any:
    keys = jax.random.split(key, NUM_LAYERS)
    normal = [jax.random.normal(key, (WIDTH, WIDTH)) / 8 for key in keys]
    params = {f"layer{i}": weight for i, weight in enumerate(normal)}
    return {"params": params, "optimizer": OPTIMIZER.init(params), "steps": 0}


def batch_of(seed: int) -> Any:
    x, y = jax.random.normal(jax.random.key(seed), (2, BATCH_SIZE, WIDTH))
    return {"x": x, "y": y}


def compiled(method: Any) -> Any:
    step = alpa.parallelize(train_step, method)
    step.compile(jax.eval_shape(init, jax.random.key(0)), batch_of(0))
    return step


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return compiled(PIPELINE)


@pytest.fixture(scope="module")
def two_stages() -> Any:
    return compiled(
        dataclasses.replace(PIPELINE, num_stages=2, num_microbatches=4, schedule="gpipe")
    )


@pytest.fixture(scope="module")
def sharded() -> Any:
    return compiled(alpa.ShardParallel(mesh_shape=(2, 4)))


@pytest.fixture(scope="module")
def saved(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with checkpoint 3 of the pipeline, and what was saved."""
    folder = tmp_path_factory.mktemp("checkpoints")
    state = alpa.create_state(init, jax.random.key(0), like=pipeline)
    for i in range(3):
        state, _ = pipeline(state, batch_of(i))
    alpa.save(folder, state, pipeline, number=3).wait()
    return folder, jax.device_get(state)


def assert_same_bytes(state: Any, expected: Any) -> None:
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for got, want in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        got, want = np.asarray(got), np.asarray(want)
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        assert got.tobytes() == want.tobytes()


def assert_lies_as_compiled(state: Any, step: Any) -> None:
    shardings = jax.tree.leaves(step.executable.input_shardings[0])
    for leaf, sharding in zip(jax.tree.leaves(state), shardings, strict=True):
        assert leaf.sharding == sharding
        parts = {part.data.shape for part in leaf.addressable_shards}
        assert parts == {sharding.shard_shape(leaf.shape)}


@pytest.mark.parametrize("reader", ["pipeline", "two_stages", "sharded"])
def test_pipeline_is_restored_under_any_plan(
    reader: str, saved: tuple[Path, Any], request: pytest.FixtureRequest
) -> None:
    folder, expected = saved
    step = request.getfixturevalue(reader)
    state = alpa.restore(folder, like=step)
    assert_same_bytes(state, expected)
    assert_lies_as_compiled(state, step)

    num_compiled = len(step._executables)
    state, loss = step(state, batch_of(3))
    plain, expected_loss = jax.jit(train_step)(expected, batch_of(3))
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    assert int(state["steps"]) == int(plain["steps"]) == 4
    assert len(step._executables) == num_compiled, "restored state is planned anew"


def test_one_program_is_restored_as_pipeline(sharded: Any, two_stages: Any, tmp_path: Path) -> None:
    state = alpa.create_state(init, jax.random.key(1), like=sharded)
    state, _ = sharded(state, batch_of(0))
    expected = jax.device_get(state)
    alpa.save(tmp_path, state, sharded).wait()
    state = alpa.restore(tmp_path, like=two_stages)
    assert_same_bytes(state, expected)
    assert_lies_as_compiled(state, two_stages)


def test_plain_orbax_reads_it(saved: tuple[Path, Any]) -> None:
    folder, expected = saved
    args = orbax.checkpoint.args
    mesh = jax.make_mesh((2,), ("x",), devices=jax.devices()[:2])
    everywhere = NamedSharding(mesh, PartitionSpec())
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), expected
    )
    with orbax.checkpoint.CheckpointManager(folder) as manager:
        assert manager.latest_step() == 3
        read = manager.restore(3, args=args.Composite(state=args.StandardRestore(target)))
        as_it_is = manager.restore(3, args=args.Composite(state=args.StandardRestore()))
    assert_same_bytes(read["state"], expected)
    assert_same_bytes(as_it_is["state"]["params"], expected["params"])


def test_plan_lies_beside_it(saved: tuple[Path, Any], pipeline: Any) -> None:
    folder, _ = saved
    assert alpa.Plan.load(folder / "3" / "plan" / "plan.json") == pipeline.executable.plan


def test_steps_go_on_while_it_is_written(pipeline: Any, sharded: Any, tmp_path: Path) -> None:
    for folder, step in ((tmp_path / "pipeline", pipeline), (tmp_path / "sharded", sharded)):
        state = alpa.create_state(init, jax.random.key(2), like=step)
        expected: list[Any] = []
        for i in range(3):
            expected.append(jax.tree.map(np.array, jax.device_get(state)))
            alpa.save(folder, state, step, number=i)
            for _ in range(3):
                state, _ = step(state, batch_of(i))  # which takes the memory of the state
        for i in range(3):
            assert_same_bytes(alpa.restore(folder, like=step, number=i), expected[i])


def test_oldest_checkpoints_go(sharded: Any, tmp_path: Path) -> None:
    state = alpa.create_state(init, jax.random.key(0), like=sharded)
    assert alpa.saved_numbers(tmp_path / "none") == []
    for _ in range(3):
        alpa.save(tmp_path, state, sharded, keep=2)
    saving = alpa.save(tmp_path, state, sharded, keep=2)
    saving.wait()
    saving.wait()
    assert saving.number == 3
    assert saving.path == tmp_path / "3"
    assert alpa.saved_numbers(tmp_path) == [2, 3]


def test_program_that_ends_at_once_has_its_checkpoint(tmp_path: Path) -> None:
    program = f"""
import alpa_mlir as alpa, sys
from programs.counting import compiled_step, init
assert not any(name.startswith(("orbax", "tensorstore")) for name in sys.modules)
step = compiled_step()
alpa.save({str(tmp_path)!r}, alpa.create_state(init, like=step), step)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])
    assert alpa.saved_numbers(tmp_path) == [0]
    json.loads((tmp_path / "0" / "plan" / "plan.json").read_text())
