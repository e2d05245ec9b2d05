"""`parallelize` on eight devices: what goes in and out, what is cached, placed and donated."""

from dataclasses import dataclass
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.errors import ArgumentError, ClusterError, PlanError
from jax.sharding import Mesh, NamedSharding, PartitionSpec

METHODS = [alpa.ShardParallel(), alpa.DataParallel(), alpa.Zero2Parallel(), alpa.Zero3Parallel()]


@jax.tree_util.register_dataclass
@dataclass
class State:
    params: Any
    momentum: Any
    step: Any
    key: Any


def forward(params: Any, x: Any) -> Any:
    for layer in params["layers"]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x


def train_step(state: State, batch: Any) -> tuple[State, dict[str, Any]]:
    key, dropout = jax.random.split(state.key)

    def loss(params: Any) -> tuple[Any, Any]:
        y = forward(params, batch["x"])
        y = jnp.where(jax.random.bernoulli(dropout, 0.9, y.shape) & batch["mask"][:, None], y, 0)
        return jnp.square(y).mean(), {"num_examples": batch["mask"].sum()}

    (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, state.momentum, grads)
    params = jax.tree.map(lambda p, m: p - 0.1 * m, state.params, momentum)
    return State(params, momentum, state.step + 1, key), {"loss": value, **metrics}


def new_state(width: int = 64, depth: int = 3) -> State:
    rng = np.random.default_rng(0)
    layers = [
        {
            "w": (rng.standard_normal((width, width)) * 0.1).astype(np.float32),
            "b": np.zeros(width, np.float32),
        }
        for _ in range(depth)
    ]
    params = {"layers": layers}
    return State(params, jax.tree.map(np.zeros_like, params), 0, jax.random.key(0))


def new_batch(size: int = 16, width: int = 64) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "x": rng.standard_normal((size, width)).astype(np.float32),
        "mask": rng.random(size) < 0.9,
    }


def assert_trees_close(actual: Any, expected: Any) -> None:
    def leaf(x: Any) -> Any:
        is_key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf(a), leaf(e), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_train_step_three_times_equals_one_device(method: Any) -> None:
    step = alpa.parallelize(train_step, method)
    state, expected = new_state(), new_state()
    for _ in range(3):
        state, metrics = step(state, new_batch())
        expected, expected_metrics = jax.jit(train_step)(expected, new_batch())
        assert_trees_close((state, metrics), (expected, expected_metrics))


def test_call_donates_state_and_places_arguments_once() -> None:
    step = alpa.parallelize(train_step)
    state, _ = step(new_state(), new_batch())
    weight = state.params["layers"][0]["w"]
    assert len(weight.sharding.device_set) == 8
    batch = jax.device_put(new_batch())
    step(state, batch)
    assert weight.is_deleted()
    assert not batch["x"].is_deleted()


def test_call_leaves_numpy_arguments_alone() -> None:
    state = new_state()
    before = state.params["layers"][0]["w"].copy()
    alpa.parallelize(train_step)(state, new_batch())
    np.testing.assert_array_equal(state.params["layers"][0]["w"], before)


def test_call_with_arrays_on_one_device_moves_them() -> None:
    step = alpa.parallelize(train_step)
    device = jax.devices()[3]
    state, batch = jax.device_put((new_state(), new_batch()), device)
    _, metrics = step(state, batch)
    _, expected = jax.jit(train_step)(new_state(), new_batch())
    assert_trees_close(metrics, expected)


def test_call_with_other_shapes_compiles_anew_and_remembers() -> None:
    step = alpa.parallelize(train_step, alpa.DataParallel())
    state, _ = step(new_state(), new_batch(16))
    state, metrics = step(state, new_batch(32))
    assert metrics["num_examples"] > 16
    first = step.stopwatch.seconds["compile"]
    step(state, new_batch(16))
    assert step.stopwatch.seconds["compile"] == first


def test_compile_from_shapes_then_call() -> None:
    step = alpa.parallelize(train_step)
    shapes = jax.eval_shape(lambda *args: args, new_state(), new_batch())
    executable = step.compile(*shapes)
    first = step.stopwatch.seconds["compile"]
    step(new_state(), new_batch())
    assert step.stopwatch.seconds["compile"] == first
    assert executable.memory_analysis() > 0
    assert len(executable.stage_executables) == 1


def test_call_with_static_and_keyword_arguments() -> None:
    def fn(x: Any, power: int, *, shift: Any) -> Any:
        return x**power + shift

    step = alpa.parallelize(fn, batch_argnums=(0,), static_argnums=(1,))
    x = np.arange(16.0, dtype=np.float32)
    for power in (2, 3, 2):
        np.testing.assert_allclose(step(x, power, shift=1.0), x**power + 1)


def test_call_returning_nothing_passing_through_and_twice() -> None:
    def fn(x: Any, i: Any, unused: Any) -> Any:
        return {"none": None, "same": x, "twice": (i + 1, i + 1), "flag": i > 0}

    step = alpa.parallelize(fn, batch_argnums=(0,))
    x = np.ones((8, 4), np.float32)
    result = step(x, 3, np.zeros((), bool))
    assert result["none"] is None
    np.testing.assert_array_equal(result["same"], x)
    assert [int(v) for v in result["twice"]] == [4, 4]
    assert bool(result["flag"])


def test_call_that_returns_no_array() -> None:
    assert alpa.parallelize(lambda x: None, batch_argnums=(0,))(np.ones(8)) is None


def test_explicit_donation_off_keeps_state() -> None:
    step = alpa.parallelize(train_step, donate_argnums=())
    state, _ = step(new_state(), new_batch())
    step(state, new_batch())
    assert not state.params["layers"][0]["w"].is_deleted()


def test_user_shardings_are_kept() -> None:
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
    column = NamedSharding(mesh, PartitionSpec(None, "model"))

    def fn(w: Any, x: Any) -> Any:
        return jax.lax.with_sharding_constraint(
            x @ w, NamedSharding(mesh, PartitionSpec("data", "model"))
        )

    w = jax.device_put(np.ones((64, 64), np.float32), column)
    step = alpa.parallelize(fn)
    x = np.ones((16, 64), np.float32)
    plan = step.plan(w, x)
    assert plan.mesh.axis_names == ("data", "model")
    assert plan.arguments[0].spec == ((), ("model",))
    assert plan.has_user_shardings
    assert alpa.Plan.from_json(plan.to_json()) == plan
    assert [choice.is_fixed for choice in plan.choices] == [True, False, False, True]
    assert "(fixed by the user)" in plan.explain()
    result = step(w, x)
    np.testing.assert_allclose(result, np.full((16, 64), 64.0))
    with pytest.raises(ArgumentError, match=r"expected mesh_shape \(4, 2\)"):
        alpa.parallelize(fn, alpa.ShardParallel(mesh_shape=(8,))).plan(w, x)


def test_user_constraint_inside_the_function_names_the_mesh() -> None:
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("rows", "columns"))

    def fn(x: Any) -> Any:
        rows = NamedSharding(mesh, PartitionSpec("rows"))
        return jax.lax.with_sharding_constraint(x * 2, rows) + 1

    step = alpa.parallelize(fn, batch_argnums=(0,))
    x = np.ones((16, 16), np.float32)
    assert step.plan(x).mesh.axis_names == ("rows", "columns")
    np.testing.assert_array_equal(step(x), x * 2 + 1)


def test_plan_saved_and_loaded_is_equal_and_runs(tmp_path: Any) -> None:
    plan = alpa.parallelize(train_step).plan(new_state(), new_batch())
    plan.save(tmp_path / "plan.json")
    loaded = alpa.Plan.load(tmp_path / "plan.json")
    assert loaded == plan
    step = alpa.parallelize(train_step, alpa.FixedPlan(loaded))
    _, metrics = step(new_state(), new_batch())
    _, expected = jax.jit(train_step)(new_state(), new_batch())
    assert_trees_close(metrics, expected)
    with pytest.raises(PlanError, match="expected the program 'train_step' with hash"):
        step(new_state(), new_batch(32))


def test_plan_for_a_preset_needs_no_devices() -> None:
    cluster = alpa.Cluster.preset("p3.16xlarge", num_nodes=2)
    step = alpa.parallelize(train_step, cluster=cluster)
    shapes = jax.eval_shape(lambda *args: args, new_state(), new_batch(64))
    lowered = step.lower(*shapes)
    assert lowered.plan.mesh.axis_sizes == (2, 8)
    assert "sdy.mesh @mesh" in lowered.as_text()
    with pytest.raises(ClusterError, match="expected 16 cuda devices"):
        lowered.compile()


def test_call_with_host_callbacks(capfd: pytest.CaptureFixture[str]) -> None:
    def fn(x: Any) -> Any:
        jax.debug.print("sum {}", x.sum())
        return jax.pure_callback(lambda v: np.asarray(v) * 3, x, x)

    step = alpa.parallelize(fn, batch_argnums=(0,))
    np.testing.assert_array_equal(step(np.ones((16, 4), np.float32)), np.full((16, 4), 3.0))
    jax.effects_barrier()
    assert capfd.readouterr().out == "sum 64.0\n"


@pytest.mark.parametrize("shape", [(0, 32), (13, 7), (1, 1)])
def test_call_with_shapes_that_do_not_divide(shape: tuple[int, int]) -> None:
    x = np.ones(shape, np.float32)
    result = alpa.parallelize(lambda x: (x @ x.T, x[:1]), batch_argnums=(0,))(x)
    np.testing.assert_allclose(result[0], x @ x.T)
    assert result[1].shape == (min(1, shape[0]), shape[1])


def test_call_inside_jit_says_so() -> None:
    step = alpa.parallelize(lambda x: x + 1, batch_argnums=(0,))
    with pytest.raises(ArgumentError, match=r"cannot be called inside jax\.jit"):
        jax.jit(step)(np.ones(8))
