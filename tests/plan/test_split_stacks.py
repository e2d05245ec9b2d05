"""Stacked state: alpa-split-stacks renews it row by row, alpa-separate-rows makes rows arguments.

Both keep what a step computes.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir import _native
from alpa_mlir.ir import jaxlib
from jax import Array
from programs.small_programs import Program, floats
from test_analyze_training import prepared
from test_unroll_loops import STEPS, assert_computes_the_same

LAYERS, BATCH, HIDDEN = 4, 8, 6
X = floats(BATCH, HIDDEN)

Params = dict[str, Any]


def in_rows(program: Program) -> str:
    module = prepared(program)
    for each in ("alpa-unroll-loops", "alpa-split-stacks"):
        module.run(f"builtin.module({each},alpa-normalize)")
        module = _native.Module.parse(jaxlib.populate_rules(module.text(True)))
    return module.text()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_step_in_rows_computes_the_same(name: str) -> None:
    assert_computes_the_same(in_rows(STEPS[name]), STEPS[name])


# --- Optimizers ---


def residual(x: Array, p: Params) -> tuple[Array, None]:
    return x + jnp.tanh(x @ p["w"] + p["b"]), None


def parameters() -> Params:
    return {
        "layers": {
            "w": floats(LAYERS, HIDDEN, HIDDEN) * 0.5,
            "b": floats(LAYERS, HIDDEN),
        },
        "out": floats(HIDDEN, HIDDEN),
    }


def loss(params: Params, x: Array) -> Array:
    return jnp.mean((jax.lax.scan(residual, x, params["layers"])[0] @ params["out"]) ** 2)


def in_sixteen_bits(params: Params, x: Array) -> Array:
    return loss(*jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (params, x))).astype("f4")


def step_with(
    optimizer: optax.GradientTransformation, function: Callable[..., Array] = loss
) -> Program:
    def train_step(state: Any, x: Array) -> Any:
        params, opt_state = state
        value, gradients = jax.value_and_grad(function)(params, x)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    params = parameters()
    state = jax.tree.map(np.asarray, (params, optimizer.init(params)))
    return Program(train_step, (state, X))


def is_matrix(params: Params) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 2, params)


OPTIMIZERS = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": optax.adam(1e-2),
    "clipped_adamw": optax.chain(
        optax.clip_by_global_norm(0.1), optax.adamw(1e-2, weight_decay=0.1, mask=is_matrix)
    ),
    "lion": optax.lion(1e-2),
    "rmsprop": optax.rmsprop(1e-2),
    "schedule": optax.adam(optax.warmup_cosine_decay_schedule(0.0, 1e-2, 10, 100)),
    "skips_nan": optax.apply_if_finite(optax.adam(1e-2), 3),
    "trust_ratios_of_stacks": optax.lamb(1e-2),
    "adafactor": optax.adafactor(1e-2, min_dim_size_to_factor=2),
}
SOLE_OPS_OF_STACKS = {"concatenate", "slice", "return"}


def ops_of_stacks(text: str) -> set[str]:
    """The ops that read or make weights or biases of all layers."""
    kind = re.compile(rf"tensor<{LAYERS}x{HIDDEN}(?:x{HIDDEN})?x")
    lines = [line for line in text.splitlines() if kind.search(line) and "func.func" not in line]
    found = [re.search(r'"(?:stablehlo|chlo|func)\.(\w+)"', line) for line in lines]
    return {op[1] for op in found if op}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_compute_the_same(name: str) -> None:
    program = step_with(OPTIMIZERS[name])
    assert_computes_the_same(in_rows(program), program)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"adafactor", "skips_nan"}))
def test_optimizers_renew_stacks_row_by_row(name: str) -> None:
    assert ops_of_stacks(in_rows(step_with(OPTIMIZERS[name]))) <= SOLE_OPS_OF_STACKS


def test_weights_in_sixteen_bits_are_converted_row_by_row() -> None:
    program = step_with(optax.adam(1e-2), in_sixteen_bits)
    assert ops_of_stacks(in_rows(program)) <= SOLE_OPS_OF_STACKS


def test_what_no_loop_slices_stays_as_it_is() -> None:
    def train_step(w: Array, x: Array) -> Array:
        def function(w: Array) -> Array:
            return jnp.mean(jnp.einsum("bh,lhk->lbk", x, w) ** 2)

        return w - jax.grad(function)(w)

    program = Program(train_step, (floats(LAYERS, HIDDEN, HIDDEN), X))
    assert "concatenate" not in in_rows(program)


# --- Rows as arguments ---


def rows_of(attributes: dict[str, str]) -> tuple[int, ...] | None:
    """Number, dim, begin and end, as of `alpa.rows`."""
    text = attributes.get("alpa.rows")
    return None if text is None else tuple(map(int, re.findall(r"\d+", text.partition(":")[2])))


def separated(program: Program) -> tuple[str, Program]:
    """The step whose arguments are rows, and what it is to compute."""
    module = _native.Module.parse(in_rows(program))
    module.run("builtin.module(alpa-separate-rows,alpa-normalize)")
    main = module.functions()[0]
    leaves = jax.tree.leaves(program.arguments)
    given = [rows_of(argument.attributes) for argument in main.arguments]
    taken = [rows_of(result.attributes) for result in main.results]

    def parts(values: list[Any], places: list[tuple[int, ...] | None]) -> list[Any]:
        """The values in order, those with rows as these."""
        stacks = {place[0] for place in places if place}
        whole = iter([value for n, value in enumerate(values) if n not in stacks])
        return [
            next(whole)
            if place is None
            else jax.lax.slice_in_dim(values[place[0]], place[2], place[3], axis=place[1])
            for place in places
        ]

    def step(*arguments: Any) -> list[Any]:
        found: dict[int, list[Any]] = {}
        whole: list[Any] = []
        for place, argument in zip(given, arguments, strict=True):
            (found.setdefault(place[0], []) if place else whole).append(argument)
        rest = iter(whole)
        values = [
            jnp.concatenate(found[n], axis=0) if n in found else next(rest)
            for n in range(len(leaves))
        ]
        tree = jax.tree.structure(program.arguments)
        return parts(jax.tree.leaves(program.function(*tree.unflatten(values))), taken)

    rows = [np.asarray(each) for each in parts([jnp.asarray(leaf) for leaf in leaves], given)]
    return module.text(), Program(step, tuple(rows))


@pytest.mark.parametrize("name", ["adam", "clipped_adamw", "schedule"])
def test_rows_of_state_are_arguments(name: str) -> None:
    program = step_with(OPTIMIZERS[name])
    text, rows = separated(program)
    stacks = [leaf for leaf in jax.tree.leaves(program.arguments) if leaf.shape[:1] == (LAYERS,)]
    others = len(jax.tree.leaves(program.arguments)) - len(stacks)
    assert len(rows.arguments) == others + LAYERS * len(stacks)
    assert not ops_of_stacks(text)
    assert_computes_the_same(text, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_step_of_rows_computes_the_same(name: str) -> None:
    assert_computes_the_same(*separated(STEPS[name]))
