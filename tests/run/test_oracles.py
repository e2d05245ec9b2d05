"""The oracles themselves: they accept what is equal and reject what is not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.training_equality import CASES, TOLERANCE, case, relative_errors
from programs.random_programs import WRITERS, random_program


def test_relative_errors_are_measured_against_the_largest_element() -> None:
    expected = {"a": jnp.array([1.0, -100.0]), "b": jnp.array([1, 2])}
    actual = {"a": jnp.array([2.0, -100.0]), "b": jnp.array([1, 2])}
    assert relative_errors(actual, expected) == {"['a']": pytest.approx(0.01), "['b']": 0.0}


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (jnp.array([1]), jnp.array([2])),
        (jnp.array([1.0]), jnp.array([0.0])),
        (jnp.array([jnp.nan]), jnp.array([1.0])),
        (jnp.array([1.0]), jnp.array([jnp.nan])),
        (jnp.array([1.0]), jnp.array([1])),
        (jnp.ones((1, 2)), jnp.ones((2, 1))),
        (jax.random.key(0), jax.random.key(1)),
    ],
)
def test_relative_errors_reject(actual: Any, expected: Any) -> None:
    assert all(error > TOLERANCE for error in relative_errors([actual], [expected]).values())


@pytest.mark.parametrize("name", CASES)
def test_workloads_of_the_oracle_have_equal_state_structure(name: str) -> None:
    setup = case(name)
    state, batch = setup.abstract_arguments()
    new_state, _ = jax.eval_shape(setup.train_step, state, batch)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert jax.tree.leaves(new_state) == jax.tree.leaves(state)


def test_random_program_is_the_same_for_the_same_seed() -> None:
    assert str(random_program(5)) == str(random_program(5))
    assert str(random_program(5)) != str(random_program(6))


def test_random_programs_use_every_operation() -> None:
    names = {node.name.split("<")[0] for seed in range(200) for node in random_program(seed).nodes}
    renamed = {"binary", "convert", "iota", "gather", "reduce"}  # called by what they became
    assert set(WRITERS) - renamed <= names
    assert {"add", "to_int", "add_iota", "take_along_axis", "mean"} <= names


@pytest.mark.parametrize("seed", range(10))
def test_random_programs_compute_finite_numbers(seed: int) -> None:
    program = random_program(seed)
    for node, result in zip(
        (program.nodes[i] for i in program.outputs),
        jax.jit(program)(*program.example_arguments(seed)),
        strict=True,
    ):
        assert (result.shape, result.dtype) == (node.shape, node.dtype)
        assert np.isfinite(result).all()
