"""alpa-unroll-loops keeps what a program computes and leaves no stacked buffer between layers."""

import re
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir import _native
from alpa_mlir.ir import jaxlib
from alpa_mlir.models.workload import workload
from jax import Array
from programs.small_programs import Program, floats
from test_analyze_training import model, num_products, num_sums, prepared
from test_normalize import lowered, run

LAYERS, BATCH, HIDDEN = 4, 8, 6


def unrolled(program: Program, options: str = "") -> tuple[_native.Module, list[str]]:
    """The program unrolled and prepared again, and the remarks of unrolling."""
    module = prepared(program)
    remarks = module.run(f"builtin.module(alpa-unroll-loops{{{options}}},alpa-normalize)")
    again = _native.Module.parse(jaxlib.populate_rules(module.text(True)))
    return again, [remark.message for remark in remarks]


def assert_computes_the_same(text: str, program: Program) -> None:
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6),
        run(text, program),
        lowered(program).compile()(*program.arguments),
    )


def count(text: str, op: str) -> int:
    return len(re.findall(rf'"stablehlo\.{op}"', text))


STEPS: dict[str, Program] = {}
WEIGHTS = floats(LAYERS, HIDDEN, HIDDEN) * 0.5
BIASES = floats(LAYERS, HIDDEN)
X = floats(BATCH, HIDDEN)

Loss = Callable[[Any, Any], Any]


def step(*params: np.ndarray) -> Callable[[Loss], Loss]:
    """A training step by gradient descent on `params` of the mean of what the function returns."""

    def add(function: Loss) -> Loss:
        def train_step(params: Any, x: Any) -> Any:
            loss, gradients = jax.value_and_grad(lambda p: function(p, x).mean())(params)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), loss

        STEPS[function.__name__] = Program(train_step, (params, X))
        return function

    return add


def layer(x: Any, w: Any) -> Any:
    return jnp.tanh(x @ w)


@step(WEIGHTS, BIASES)
def forward_order(params: Any, x: Array) -> Array:
    return jax.lax.scan(lambda x, p: (layer(x, p[0]) + p[1], None), x, params)[0]


@step(WEIGHTS)
def reverse_order(params: Any, x: Array) -> Array:
    return jax.lax.scan(lambda x, w: (layer(x, w), None), x, params[0], reverse=True)[0]


@step(WEIGHTS)
def two_per_iteration(params: Any, x: Array) -> Array:
    return jax.lax.scan(lambda x, w: (layer(x, w), None), x, params[0], unroll=2)[0]


@step(WEIGHTS)
def three_per_iteration_and_one(params: Any, x: Array) -> Array:
    return jax.lax.scan(lambda x, w: (layer(x, w), x), x, params[0], unroll=3)[1].sum(0)


@step(WEIGHTS)
def outputs_of_all_layers(params: Any, x: Array) -> Array:
    x, outputs = jax.lax.scan(lambda x, w: (layer(x, w), x * 2), x, params[0])
    return x + (outputs * jnp.arange(LAYERS)[:, None, None]).sum(0)


@step(WEIGHTS)
def dropout_from_carried_key(params: Any, x: Array) -> Any:
    def body(carry: Any, w: Array) -> Any:
        x, key = carry
        key, mask_key = jax.random.split(key)
        return (jnp.where(jax.random.bernoulli(mask_key, 0.8, x.shape), layer(x, w), 0), key), None

    return jax.lax.scan(body, (x, jax.random.PRNGKey(1)), params[0])[0][0]


@step(WEIGHTS)
def dropout_from_layer_number(params: Any, x: Array) -> Any:
    def body(x: Array, layer_and_number: Any) -> Any:
        w, number = layer_and_number
        key = jax.random.fold_in(jax.random.key(1), number)
        return jnp.where(jax.random.bernoulli(key, 0.8, x.shape), layer(x, w), 0), None

    return jax.lax.scan(body, x, (params[0], jnp.arange(LAYERS)))[0]


@step(WEIGHTS)
def checkpointed(params: Any, x: Array) -> Array:
    body = jax.checkpoint(lambda x, w: (jnp.sin(layer(x, w)), None))
    return jax.lax.scan(body, x, params[0])[0]


@step(WEIGHTS)
def checkpointed_index(params: Any, x: Array) -> Array:
    body = jax.checkpoint(lambda x, i: (jnp.sin(layer(x, params[0][i])), None))
    return jax.lax.scan(body, x, jnp.arange(LAYERS))[0]


@step(WEIGHTS)
def nested(params: Any, x: Array) -> Array:
    @jax.checkpoint
    def group(x: Array, weights: Array) -> Any:
        return jax.lax.scan(lambda x, w: (layer(x, w), None), x, weights)

    return jax.lax.scan(group, x, params[0].reshape(2, 2, HIDDEN, HIDDEN))[0]


@step(WEIGHTS[0])
def length_only(params: Any, x: Array) -> Array:
    return jax.lax.scan(lambda x, _: (layer(x, params[0]), None), x, length=3)[0]


@step(WEIGHTS)
def indexed(params: Any, x: Array) -> Array:
    return jax.lax.fori_loop(0, LAYERS, lambda i, x: layer(x, params[0][i]), x)


@step(WEIGHTS)
def indexed_backwards(params: Any, x: Array) -> Array:
    return jax.lax.fori_loop(1, LAYERS + 1, lambda i, x: layer(x, params[0][-i]), x)


@step(WEIGHTS)
def every_layer_twice(params: Any, x: Array) -> Array:
    return jax.lax.fori_loop(0, 2 * LAYERS, lambda i, x: layer(x, params[0][i // 2]), x)


@step(WEIGHTS)
def taken(params: Any, x: Array) -> Any:
    def body(x: Array, i: Array) -> Any:
        return layer(x, jnp.take(params[0], i, axis=0)), None

    return jax.lax.scan(body, x, jnp.arange(LAYERS))[0]


@step(WEIGHTS)
def taken_beyond_the_end(params: Any, x: Array) -> Any:
    def body(x: Array, i: Array) -> Any:
        first = jnp.take(params[0], i + 2, axis=0, mode="clip")
        return layer(
            x, first + jax.lax.dynamic_index_in_dim(params[0], i + 2, keepdims=False)
        ), None

    return jax.lax.scan(body, x, jnp.arange(LAYERS))[0]


@step(WEIGHTS)
def branch_by_layer(params: Any, x: Array) -> Any:
    def body(x: Array, layer_and_number: Any) -> Any:
        w, number = layer_and_number
        return jax.lax.cond(number % 2 == 0, lambda: layer(x, w), lambda: x @ w), None

    return jax.lax.scan(body, x, (params[0], jnp.arange(LAYERS)))[0]


@step(WEIGHTS)
def buffer_read_by_every_layer(params: Any, x: Array) -> Any:
    def body(carry: Any, i: Array) -> Any:
        x, seen = carry
        x = layer(x, params[0][i]) + seen.sum(0)
        return (x, seen.at[i].set(x)), None

    start = (x, jnp.zeros((LAYERS, *x.shape)))
    return jax.lax.scan(body, start, jnp.arange(LAYERS))[0][0]


@step(WEIGHTS)
def rows_that_nobody_writes(params: Any, x: Array) -> Array:
    def body(i: Array, rows: Array) -> Array:
        return rows.at[i + 1].set(layer(rows[i], params[0][i]))

    rows = jnp.stack([x * k for k in range(LAYERS + 2)])
    return jax.lax.fori_loop(0, LAYERS, body, rows).sum(0)


@step(WEIGHTS)
def no_layer(params: Any, x: Array) -> Array:
    return jax.lax.scan(lambda x, w: (layer(x, w), x), x, params[0][:0])[0] + params[0].sum()


@step(WEIGHTS, floats(HIDDEN, HIDDEN))
def accumulated_by_hand(params: Any, x: Array) -> Any:
    def body(carry: Any, w: Array) -> Any:
        x, total = carry
        x = layer(x, w)
        return (x, total + x @ params[1]), x.sum(-1)

    (x, total), sums = jax.lax.scan(body, (x, jnp.zeros_like(x)), params[0])
    return x + total + sums.sum(0)[:, None]


# Neither loop slices weights, and the backward one only adds up gradients: both stay.
LOOPS_LEFT = {"length_only": 2}
# Rows that no layer wrote stay in the buffer, or (in a gradient) rows that every layer adds to.
UPDATES_LEFT = {"length_only", "rows_that_nobody_writes", "buffer_read_by_every_layer"}


def num_loops_of_floats(text: str) -> int:
    """Loops, those that make random bits left out."""
    lines = jaxlib.to_pretty(text).splitlines()
    return sum("stablehlo.while(" in line and "f32>" in line for line in lines)


@pytest.mark.parametrize("name", STEPS)
def test_unrolled_step_computes_the_same(name: str) -> None:
    module, remarks = unrolled(STEPS[name])
    text = module.text()

    assert not remarks
    assert num_loops_of_floats(text) == LOOPS_LEFT.get(name, 0)
    if name not in LOOPS_LEFT:
        assert count(text, "(dynamic_slice|gather|case|if)") == 0
    if name not in UPDATES_LEFT:
        assert count(text, "(dynamic_update_slice|scatter)") == 0
    assert_computes_the_same(text, STEPS[name])


@pytest.mark.parametrize(
    "name",
    [
        "reverse_order",
        "three_per_iteration_and_one",
        "outputs_of_all_layers",
        "dropout_from_layer_number",
        "checkpointed_index",
        "nested",
        "length_only",
        "taken",
    ],
)
def test_gradients_of_layers_are_sums_of_their_own(name: str) -> None:
    module, _ = unrolled(STEPS[name])

    module.run("builtin.module(alpa-analyze-training,alpa-split-microbatches{num-microbatches=4})")

    assert_computes_the_same(module.text(), STEPS[name])


def test_scanned_gpt_has_the_phases_of_the_unrolled_one() -> None:
    module, remarks = unrolled(model("gpt_scanned"))
    assert not remarks
    text = module.text()
    assert count(text, "(while|dynamic_slice|dynamic_update_slice)") == 0

    remarks = [r.message for r in module.run("builtin.module(alpa-analyze-training)")]

    assert num_products(module.text()) == {"forward": 13, "backward": 26}
    assert num_sums(remarks) == (29, 1)
    assert not [r for r in remarks if "examples meet" in r or "prologue" in r or "no gradient" in r]
    # Stacks of the two layers; JAX 0.11 also concatenates three gradients, those of q, k and v.
    stacks = re.findall(r'"stablehlo.concatenate".*-> tensor<2x.*', module.text())
    assert len(stacks) == 12  # one per parameter of a layer
    assert all('alpa.phase = "update"' in line for line in stacks)
    module.run("builtin.module(alpa-split-microbatches{num-microbatches=4})")
    assert "func.func private @microbatch" in jaxlib.to_pretty(module.text())


def test_unrolling_takes_little_time() -> None:
    program = workload("gpt", "gpt2-medium", 8, optax.adamw(1e-3), form="scanned")
    module = prepared(Program(program.train_step, program.abstract_arguments()))

    start = time.perf_counter()
    module.run("builtin.module(alpa-unroll-loops)")
    seconds = time.perf_counter() - start

    assert count(module.text(), "while") == 0
    assert seconds < 2


def test_loops_of_inference_without_stacked_weights_stay() -> None:
    def infer(w: Any, xs: Any) -> Any:
        def body(h: Any, x: Any) -> Any:
            return jnp.tanh(h @ w + x), None

        return jax.lax.scan(body, jnp.zeros_like(xs[:, 0]), xs.swapaxes(0, 1))[0]

    program = Program(infer, (floats(HIDDEN, HIDDEN), floats(BATCH, 3, HIDDEN)))

    module, remarks = unrolled(program)

    assert not remarks
    assert count(module.text(), "while") == 1
    everything, _ = unrolled(program, "all=true")
    assert count(everything.text(), "while") == 0
    assert_computes_the_same(everything.text(), program)


def test_loop_that_stays_is_said() -> None:
    _, remarks = unrolled(STEPS["forward_order"], "max-trip-count=3")

    assert (
        "expected a loop that reads stacked weights to run at most 3 times, got 4; it stays a loop "
        "(max-trip-count=4 unrolls it)"
    ) in remarks


def test_loop_without_constant_trip_count_is_said_and_left_alone() -> None:
    def infer(weights: Any, x: Any) -> Any:
        def body(carry: Any) -> Any:
            i, x = carry
            return i + 1, layer(x, weights[i])

        depth = (jnp.abs(weights[0, 0, 0]) * 3).astype(jnp.int32) + 1
        return jax.lax.while_loop(lambda carry: carry[0] < depth, body, (0, x))[1]

    program = Program(infer, (WEIGHTS, X))

    module, remarks = unrolled(program)

    assert len(remarks) == 1
    assert "got a number that is no constant" in remarks[0]
    assert count(module.text(), "while") == 1
    assert_computes_the_same(module.text(), program)
