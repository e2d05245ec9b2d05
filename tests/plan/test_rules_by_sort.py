"""Sharding rules by one op of each sort are those that Shardy gives op by op."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir._native import Module
from alpa_mlir.errors import PassError
from alpa_mlir.ir import jaxlib
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from programs.chunked_steps import EXACT
from programs.small_programs import PROGRAMS, Program
from programs.training_steps import STEPS


def lowered(function: Callable[..., Any], *arguments: Any) -> str:
    return jaxlib.generic_text(jax.jit(function).lower(*arguments).compiler_ir("stablehlo"))


def assert_rules_are_the_same(text: str) -> None:
    expected = Module.parse(jaxlib.populate_rules(text))
    found = Module.parse(text)
    jaxlib.give_rules(found)
    assert "sdy.sharding_rule" in found.text()
    assert found.text() == expected.text()
    jaxlib.give_rules(found)  # of ops that have rules already, there is nothing to do
    assert found.text() == expected.text()


@pytest.mark.parametrize("programs", [PROGRAMS, EXACT, STEPS], ids=["small", "chunked", "steps"])
def test_rules_are_those_of_each_op(programs: dict[str, Program]) -> None:
    for program in programs.values():
        text = lowered(program.function, *program.arguments)
        if "sdy.sharding_rule" in jaxlib.populate_rules(text):
            assert_rules_are_the_same(text)


def test_branches_read_what_is_around_them() -> None:
    def step(n: Any, x: Any, w: Any) -> Any:
        y = jnp.tanh(x @ w)
        return jax.lax.switch(n, [lambda: y @ w, lambda: jnp.sort(y, 0), lambda: jnp.cumsum(x, 1)])

    assert_rules_are_the_same(lowered(step, np.int32(1), np.ones((4, 4)), np.ones((4, 4))))


def test_bodies_tell_reductions_apart() -> None:
    def step(x: Any, i: Any) -> Any:
        return (
            x.sum(0),
            x.max(0),
            x.argmax(0),
            x.at[i].add(1.0),
            x.at[i].set(2.0),
            x.at[i].max(x[0]),
        )

    text = lowered(step, np.ones((6, 5), np.float32), np.array([0, 2]))
    assert_rules_are_the_same(text)
    distinct = Module.parse(text).distinct_ops()
    assert distinct.count('"stablehlo.scatter"') == 3


def test_rules_tell_what_operands_are_made_of() -> None:
    def step(x: Any, y: Any, n: Any) -> Any:
        turned = jnp.concatenate([x[1:], x[:1]]), jnp.concatenate([x[1:], x, x[:2]])
        joined = jnp.concatenate([x[1:], y[:1]]), jnp.concatenate([x, y])
        written = jax.lax.dynamic_update_slice(x, y[:2], (n, 0))
        return turned, joined, written, jax.lax.dynamic_update_slice(x, y[:2], (1, 0))

    x = np.ones((4, 4), np.float32)
    assert_rules_are_the_same(lowered(step, x, x, np.int32(1)))


def test_constraints_name_a_mesh() -> None:
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto, AxisType.Auto))

    def step(x: Any) -> Any:
        x = jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec("a", "b")))
        return jnp.tanh(x) @ x

    assert_rules_are_the_same(lowered(step, np.ones((4, 4), np.float32)))


def test_a_deep_model_has_few_sorts() -> None:
    def step(x: Any, weights: Any) -> Any:
        for w in weights:
            x = jnp.tanh(x @ w)
        return x

    text = lowered(step, np.ones((4, 4)), [np.ones((4, 4))] * 50)
    assert text.count("stablehlo.dot_general") == 50
    lines = Module.parse(text).distinct_ops().splitlines()
    # The first product reads an argument, the others what another op makes.
    assert sum("stablehlo.dot_general" in line and "alpa.sort" in line for line in lines) == 2


def test_rules_of_another_module_are_refused() -> None:
    one = Module.parse(lowered(lambda x: jnp.tanh(x) @ x, np.ones((4, 4))))
    other = Module.parse(lowered(lambda x: jnp.sin(x) + x, np.ones((4, 4))))
    before = one.text()
    for text in (other.distinct_ops(), other.text()):
        with pytest.raises(ValueError, match="expected the distinct ops of this module"):
            one.take_rules(text)
    assert one.text() == before


def test_an_op_that_stablehlo_does_not_allow_is_refused() -> None:
    module = Module.parse(
        """module { "func.func"() <{function_type = (tensor<4xf32>) -> tensor<5xf32>,
        sym_name = "main"}> ({ ^bb0(%x: tensor<4xf32>):
        %0 = "stablehlo.tanh"(%x) : (tensor<4xf32>) -> tensor<5xf32>
        "func.return"(%0) : (tensor<5xf32>) -> () }) : () -> () }"""
    )
    with pytest.raises(PassError, match="tanh"):
        jaxlib.give_rules(module)
