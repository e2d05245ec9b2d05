"""From functions to marked modules: names, state, donation, batch, user shardings."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.errors import ArgumentError
from alpa_mlir.frontend.signature import Signature
from alpa_mlir.frontend.trace import TracedProgram, trace
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

W = jax.ShapeDtypeStruct((16, 16), jnp.float32)
X = jax.ShapeDtypeStruct((8, 16), jnp.float32)


def traced(fn: Any, *args: Any, static: tuple[int, ...] = (), **options: Any) -> TracedProgram:
    signature = Signature(fn, static)
    return trace(signature, signature.bind(args, options.pop("kwargs", {})), **options)


def loss(w: Any, x: Any) -> Any:
    return jnp.square(x @ w["w"] + w["b"]).mean()


def sgd(w: Any, x: Any) -> tuple[Any, Any]:
    value, grads = jax.value_and_grad(loss)(w, x)
    return jax.tree.map(lambda p, g: p - 0.1 * g, w, grads), value


PARAMS = {"w": W, "b": jax.ShapeDtypeStruct((16,), jnp.float32)}


def test_trace_pairs_state_and_donates_it() -> None:
    program = traced(sgd, PARAMS, X, batch_argnums=(1,))
    assert [(a.name, a.state_result, a.is_batch) for a in program.arguments] == [
        ("w['b']", 0, False),
        ("w['w']", 1, False),
        ("x", None, True),
    ]
    assert program.donate_argnums == (0,)
    assert [r.name for r in program.results] == ["result[0]['b']", "result[0]['w']", "result[1]"]
    assert "alpa.batch" in program.text
    assert "alpa.state = 1 : i64" in program.text


def test_trace_gradients_are_not_state() -> None:
    program = traced(jax.value_and_grad(loss), PARAMS, X, batch_argnums=(1,))
    assert program.donate_argnums == ()
    assert all(a.state_result is None for a in program.arguments)
    assert [a.gradient_result for a in program.arguments] == [1, 2, None]
    assert "alpa.gradient = 2 : i64" in program.text


def test_trace_next_values_and_losses_are_no_gradients() -> None:
    program = traced(sgd, PARAMS, X, batch_argnums=(1,))
    assert all(a.gradient_result is None for a in program.arguments)
    scale = jax.ShapeDtypeStruct((), jnp.float32)
    program = traced(lambda s, x: (s * x).sum(), scale, X, batch_argnums=(1,))
    assert program.arguments[0].gradient_result is None


def test_trace_explicit_donation_pairs_by_type() -> None:
    program = traced(lambda w, x: x @ w, W, X, donate_argnums=(1,))
    assert [a.state_result for a in program.arguments] == [None, 0]
    assert program.donate_argnums == (1,)


def test_trace_state_behind_jit_scan_and_checkpoint() -> None:
    @jax.jit
    def inner(w: Any, x: Any) -> Any:
        return jax.checkpoint(lambda v: v - x.sum())(w)

    def many(w: Any, x: Any) -> Any:
        return jax.lax.scan(lambda c, _: (inner(c, x), None), w, None, length=3)[0]

    program = traced(many, W, X)
    assert program.arguments[0].state_result == 0


@jax.tree_util.register_dataclass
@dataclass
class State:
    params: Any
    step: Any
    key: Any


def test_trace_dataclass_state_with_key_and_counter() -> None:
    def step(state: State, x: Any) -> State:
        key, _ = jax.random.split(state.key)
        return State(sgd(state.params, x)[0], state.step + 1, key)

    program = traced(step, State(PARAMS, 0, jax.random.key(0)), X, batch_argnums=(1,))
    assert [a.name for a in program.arguments][:2] == ["state.params['b']", "state.params['w']"]
    assert [a.state_result for a in program.arguments] == [0, 1, 2, 3, None]
    assert "empty_mesh" not in program.text


def test_trace_static_keyword_only_and_unused_arguments() -> None:
    def fn(x: Any, scale: Any, flag: bool, unused: Any, *, shift: Any) -> Any:
        return x * scale + shift if flag else None

    program = traced(fn, X, 2.0, True, np.ones(3), static=(2,), kwargs={"shift": 1})
    assert len(program.arguments) == 4
    assert program.arguments[1].aval.weak_type
    assert program.arguments[3].name.endswith("['shift']")


def test_trace_same_result_twice_and_passed_through() -> None:
    program = traced(lambda x: (x, {"y": x + 1, "z": x + 1}, None), X)
    assert [r.name for r in program.results] == ["result[0]", "result[1]['y']", "result[1]['z']"]


def test_trace_user_shardings_need_no_devices() -> None:
    mesh = AbstractMesh((2, 4), ("data", "model"))
    sharding = NamedSharding(mesh, PartitionSpec(None, ("data", "model")))
    struct = jax.ShapeDtypeStruct((16, 16), jnp.float32, sharding=sharding)
    program = traced(lambda w, x: x @ w, struct, X)
    assert program.arguments[0].sharding == '#sdy.sharding<@mesh, [{}, {"data", "model"}]>'
    assert program.mesh is not None
    assert program.mesh.axis_sizes == (2, 4)


def test_trace_two_meshes_fail() -> None:
    def struct(mesh: AbstractMesh) -> Any:
        sharding = NamedSharding(mesh, PartitionSpec())
        return jax.ShapeDtypeStruct((16, 16), jnp.float32, sharding=sharding)

    two = struct(AbstractMesh((2,), ("a",))), struct(AbstractMesh((4,), ("b",)))
    with pytest.raises(ArgumentError, match=r"expected all arguments on one mesh, got \{a: 2"):
        traced(lambda w, x: x @ w, *two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_argnums": (2,)}, "expected batch_argnums between 0 and 1, got 2"),
        ({"donate_argnums": (-1,)}, "expected donate_argnums between 0 and 1, got -1"),
        ({"static": (1,), "batch_argnums": (1,)}, "expected batch_argnums to name arrays"),
    ],
)
def test_trace_bad_argnums(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        traced(lambda a, b: a, 1.0, 2.0, **options)


def test_trace_argument_that_is_no_array() -> None:
    with pytest.raises(ArgumentError, match=r"expected an array at w\['act'\], got builtin"):
        traced(lambda w: w["w"], {"w": W, "act": max})


def test_trace_call_that_does_not_fit() -> None:
    with pytest.raises(ArgumentError, match="unexpected keyword argument 'z'"):
        traced(lambda w: w, W, kwargs={"z": 1})
