"""What callers do that no tutorial shows: arrays passed twice, numbers of other types, state from
elsewhere. A parallelized function answers as `jax.jit` does, or says what is wrong.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.errors import ArgumentError
from alpa_mlir.parallelize import ParallelFunction
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA = alpa.DataParallel()
PIPELINE = alpa.PipelineParallel(
    num_stages=2, num_microbatches=2, num_layers=2, num_processes=0, cache_dir=None
)
BATCH = jnp.ones((16, 16))


def weights() -> Any:
    return {"a": jnp.ones((16, 16)) / 16, "b": jnp.ones((16, 16)) / 16}


def new_state() -> Any:
    return {"params": weights(), "average": weights()}


def train_step(state: Any, batch: Any) -> Any:
    def loss_fn(params: Any) -> Any:
        return jnp.mean((jnp.tanh(batch @ params["a"]) @ params["b"]) ** 2)

    loss, grads = jax.value_and_grad(loss_fn)(state["params"])
    params = jax.tree.map(lambda w, g: w - 0.1 * g, state["params"], grads)
    average = jax.tree.map(lambda e, w: 0.9 * e + 0.1 * w, state["average"], params)
    return {"params": params, "average": average}, loss


def sharded(tree: Any) -> Any:
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("rows", "columns"))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec("columns")))


# --- Arrays that share memory ---


@pytest.mark.parametrize("method", [DATA, PIPELINE], ids=["one program", "pipeline"])
def test_average_that_starts_as_the_weights(method: Any) -> None:
    """The step donates both, and XLA would crash on one buffer in two places."""
    step = alpa.parallelize(train_step, method)
    oracle = jax.jit(train_step)
    state, expected = weights(), weights()
    state, expected = ({"params": w, "average": w} for w in (state, expected))
    for _ in range(2):
        state, loss = step(state, BATCH)
        expected, expected_loss = oracle(expected, BATCH)
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
        for each in (state, expected):
            each["average"] = each["params"]  # arrays that a step has returned
    assert step.executable is not None
    kept_on = step.executable.input_shardings[0]
    state, loss = step(jax.device_put({"params": (w := weights()), "average": w}, kept_on), BATCH)
    np.testing.assert_allclose(loss, oracle(new_state(), BATCH)[1], rtol=1e-5)


def test_donated_argument_that_is_another_one_too() -> None:
    def step(params: Any, batch: Any, target: Any) -> Any:
        return jax.tree.map(lambda w, t: w - 0.1 * t * jnp.mean(batch), params, target)

    parallel, params = alpa.parallelize(step, DATA), weights()
    for _ in range(3):
        expected = step(params, BATCH, params)
        expected = jax.device_get(expected)
        params = parallel(params, BATCH, params)
        np.testing.assert_allclose(params["a"], expected["a"], rtol=1e-6)


# --- What is donated ---


def test_gradients_with_weight_decay_leave_the_parameters() -> None:
    """They are elementwise functions of the parameters, as a step's new parameters are."""

    def grads(params: Any, batch: Any) -> Any:
        def loss_fn(params: Any) -> Any:
            decay = sum(jnp.sum(w**2) for w in jax.tree.leaves(params))
            return jnp.mean((batch @ params["a"] @ params["b"]) ** 2) + 1e-4 * decay

        return jax.grad(loss_fn)(params)

    params = weights()
    alpa.parallelize(grads, DATA)(params, BATCH)
    assert not any(w.is_deleted() for w in jax.tree.leaves(params))


def test_state_of_an_optimizer_is_donated() -> None:
    import optax

    def step(params: Any, batch: Any, moments: Any) -> Any:
        grads = jax.grad(lambda p: jnp.mean((batch @ p["a"] @ p["b"]) ** 2))(params)
        updates, moments = optax.adamw(1e-3).update(grads, moments, params)
        return optax.apply_updates(params, updates), moments

    program = alpa.parallelize(step, DATA).trace(
        weights(), BATCH, optax.adamw(1e-3).init(weights())
    )
    assert program.program.donate_argnums == (0, 2)


# --- Calls that look alike ---


def test_static_arguments_of_other_types_make_other_programs() -> None:
    parallel = alpa.parallelize(
        lambda x, batch, n: (x * n, batch * n), DATA, static_argnums=2, donate_argnums=()
    )
    x = jnp.arange(8)
    for n in (2, 2.0, 1, True, 1.0):
        assert parallel(x, x, n)[0].dtype == (x * n).dtype


def test_numbers_of_weak_type_do_not_decide_on_dtypes() -> None:
    parallel = alpa.parallelize(lambda w, batch, lr: w - lr * batch, DATA, donate_argnums=())
    w = jnp.ones((8, 8), jnp.bfloat16)
    for lr in (0.1, np.float32(0.1), 0.1, jnp.float32(0.1), jnp.asarray(0.1)):
        assert parallel(w, w, lr).dtype == (w - lr * w).dtype


def test_keywords_are_not_the_positional_dict_they_look_like() -> None:
    def scale(w: Any, batch: Any, config: Any = None, *, factor: Any = 1.0) -> Any:
        return w * (0.0 if config is not None else factor)

    parallel, w = alpa.parallelize(scale, DATA, donate_argnums=()), jnp.ones(8)
    assert parallel(w, w, factor=2.0)[0] == 2
    assert parallel(w, w, {"factor": 2.0})[0] == 0


def test_keyword_beside_a_static_default() -> None:
    def keyword_only(w: Any, batch: Any, train: bool = True, *, factor: Any) -> Any:
        return w * factor if train else w

    def either(w: Any, batch: Any, train: bool = True, factor: Any = 1.0) -> Any:
        return w * factor if train else w

    w = jnp.ones(8)
    for fn in (keyword_only, either):
        parallel = alpa.parallelize(fn, DATA, static_argnums=(2,), donate_argnums=())
        assert parallel(w, w, factor=3.0)[0] == 3
        assert parallel(w, w, False, factor=3.0)[0] == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [({"a": BATCH, "kind": "relu"}, r"an array at p\['kind'\], got str"), ([jnp.tanh], "an array")],
)
def test_leaf_that_is_no_array(argument: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        alpa.parallelize(lambda p, batch: batch, DATA)(argument, BATCH)


def test_static_argument_that_is_not_hashable() -> None:
    parallel = alpa.parallelize(lambda w, batch, shape: w, DATA, static_argnums=2)
    with pytest.raises(ArgumentError, match="a hashable static argument shape"):
        parallel(BATCH, BATCH, [1, 2])


# --- State from elsewhere ---


def test_fixed_plan_takes_state_that_is_sharded_already() -> None:
    """As after a restart: the plan from a file, the state from a checkpoint."""
    step = alpa.parallelize(train_step, DATA)
    _, expected = step(new_state(), BATCH)
    plan = step.plan(new_state(), BATCH)
    replayed = alpa.parallelize(train_step, alpa.FixedPlan(plan))
    assert step.executable is not None
    state = jax.device_put(new_state(), step.executable.input_shardings[0])
    assert replayed(state, BATCH)[1] == expected
    assert replayed(sharded(new_state()), BATCH)[1] == expected


@pytest.mark.parametrize("method", [DATA, alpa.ShardParallel(), alpa.Auto()], ids=str)
def test_order_of_the_devices_is_the_users(method: Any) -> None:
    """As `jax.make_mesh` gives one that suits a torus, or a user who leaves the order to a job."""
    devices = np.array(jax.devices())
    rng = np.random.default_rng(0)
    orders = [devices, devices[::-1], rng.permutation(devices)]
    step = alpa.parallelize(train_step, method)
    expected = jax.jit(train_step)(new_state(), BATCH)[1]
    for order in orders:
        kept = NamedSharding(Mesh(order.reshape(2, 4), ("rows", "columns")), PartitionSpec("rows"))
        for _ in range(2):  # with what the step returns, too
            state, loss = step(jax.device_put(new_state(), kept), BATCH)
            np.testing.assert_allclose(loss, expected, rtol=1e-5)
            assert state["params"]["a"].sharding.is_equivalent_to(kept, 2)
            assert state["params"]["a"].sharding.mesh == kept.mesh
            step(state, BATCH)
    assert step.executable is not None
    assert len(step._executables) == len(orders)


def test_pipeline_takes_state_from_one_mesh() -> None:
    state, loss = alpa.parallelize(train_step, PIPELINE)(sharded(new_state()), BATCH)
    np.testing.assert_allclose(loss, jax.jit(train_step)(new_state(), BATCH)[1], rtol=1e-5)
    assert state["params"]["a"].shape == (16, 16)


@pytest.mark.parametrize("method", [DATA, PIPELINE], ids=["one program", "pipeline"])
def test_create_state_checks_what_it_creates(method: Any) -> None:
    def step(scale: float, state: Any, batch: Any) -> Any:
        return train_step(state, scale * batch)

    parallel = alpa.parallelize(step, method, static_argnums=0, batch_argnums=2)
    parallel.compile(2.0, new_state(), BATCH)
    state = alpa.create_state(new_state, like=parallel, argnum=1)
    np.testing.assert_array_equal(state["params"]["a"], weights()["a"])
    with pytest.raises(ArgumentError, match=r"leaf float32\[16, 16\] of the state, got bfloat16"):
        alpa.create_state(
            lambda: jax.tree.map(lambda w: w.astype(jnp.bfloat16), new_state()),
            like=parallel,
            argnum=1,
        )
    for argnum in (0, 7, -1):
        with pytest.raises(ArgumentError, match="an argument of step that is not static"):
            alpa.create_state(new_state, like=parallel, argnum=argnum)


@pytest.mark.parametrize("method", [DATA, PIPELINE], ids=["data", "pipeline"])
def test_threads_that_call_a_step_wait_for_one_compilation(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = alpa.parallelize(train_step, method)
    compiled: list[Any] = []
    compile_it = ParallelFunction._compile
    monkeypatch.setattr(
        ParallelFunction, "_compile", lambda *args: compiled.append(args) or compile_it(*args)
    )
    num_threads = 4
    ready = threading.Barrier(num_threads)

    def call(_: int) -> Any:
        ready.wait()
        return step(new_state(), BATCH)

    with ThreadPoolExecutor(num_threads) as pool:
        results = list(pool.map(call, range(num_threads)))
    expected = jax.jit(train_step)(new_state(), BATCH)
    for result in results:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5),
            result,
            expected,
        )
    assert len(compiled) == 1
