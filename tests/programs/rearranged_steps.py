"""Training steps that rearrange their examples: views side by side, every other, one by one.

`EXACT` may be split in 2 and 4 microbatches, `WHOLE` in none.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from programs.small_programs import Program

B, D = 8, 6
EXACT: dict[str, Program] = {}
WHOLE: dict[str, Program] = {}


def _arguments() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    state = {
        "a": rng.normal(size=(D, D)).astype(np.float32) / 2,
        "b": rng.normal(size=(D, D)).astype(np.float32) / 2,
        "on": np.float32(1),
        "choice": np.int32(2),
    }
    batch = {
        "x": rng.normal(size=(B, D)).astype(np.float32),
        "y": rng.normal(size=(B, D)).astype(np.float32),
        "times": rng.normal(size=(B, 5, D)).astype(np.float32),
        "id": np.array([3, 1, 1, 4, 3, 5, 0, 3], np.int32),
    }
    return state, batch


def add_step(programs: dict[str, Program]) -> Callable[..., Any]:
    """The step of a loss of the weights, the rest of the state, and the batch."""

    def add(loss: Callable[..., Any]) -> Callable[..., Any]:
        def step(state: Any, batch: Any) -> Any:
            weights = {name: state[name] for name in "ab"}
            value, grads = jax.value_and_grad(lambda p: loss({**state, **p}, batch))(weights)
            return {**state, **jax.tree.map(lambda w, g: w - 0.1 * g, weights, grads)}, value

        programs[loss.__name__] = Program(step, _arguments())
        return loss

    return add


def net(p: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["a"]) @ p["b"]


# --- Views ---


@add_step(EXACT)
def two_views_at_once(p: Any, batch: Any) -> Any:
    both = net(p, jnp.concatenate([batch["x"], batch["y"]]))
    first, second = jnp.split(both, 2)
    return jnp.mean((first - jax.lax.stop_gradient(second)) ** 2)


@add_step(EXACT)
def three_views_of_which_one_is_read(p: Any, batch: Any) -> Any:
    views = net(p, jnp.concatenate([batch["x"], batch["y"], -batch["x"]]))
    return jnp.mean(jnp.tanh(views)[B : 2 * B] * batch["y"])


@add_step(EXACT)
def halves_of_every_pair(p: Any, batch: Any) -> Any:
    return jnp.mean((net(p, batch["x"][::2]) - net(p, batch["x"][1::2])) ** 2)


@add_step(EXACT)
def every_other_hidden_value(p: Any, batch: Any) -> Any:
    hidden = jnp.tanh(batch["x"] @ p["a"])
    return jnp.mean((hidden[::2] @ p["b"]) ** 2) + jnp.mean(hidden[1::2])


@add_step(EXACT)
def pairs_as_a_dim(p: Any, batch: Any) -> Any:
    pairs = net(p, batch["x"]).reshape(B // 2, 2, D)
    return jnp.mean((pairs[:, 0] - pairs[:, 1]) ** 2)


@add_step(EXACT)
def pairs_and_back(p: Any, batch: Any) -> Any:
    hidden = jnp.tanh(batch["x"] @ p["a"]).reshape(B // 2, 2 * D)
    return jnp.mean((hidden.reshape(B, D) @ p["b"] - batch["y"]) ** 2)


@add_step(EXACT)
def halves_that_meet(p: Any, batch: Any) -> Any:
    """Example n with example n + B/2."""
    halves = jnp.tanh(batch["x"] @ p["a"]).reshape(2, B // 2, D)
    return jnp.mean(((halves[0] - halves[1]) @ p["b"]) ** 2)


@add_step(EXACT)
def steps_of_time_among_the_examples(p: Any, batch: Any) -> Any:
    flat = net(p, batch["times"].reshape(B * 5, D)).reshape(B, 5, D)
    return jnp.mean(flat[:, ::2] ** 2)


@add_step(EXACT)
def examples_in_the_last_dim(p: Any, batch: Any) -> Any:
    return jnp.mean(jnp.tanh(p["a"] @ batch["x"].T)[:, ::2] ** 2)


# --- Rearranged before the model ---


@add_step(EXACT)
def mirrored(p: Any, batch: Any) -> Any:
    return jnp.mean((net(p, batch["x"][::-1]) - batch["y"]) ** 2)


@add_step(EXACT)
def permuted(p: Any, batch: Any) -> Any:
    order = jax.random.permutation(jax.random.key(0), B)
    return jnp.mean((net(p, batch["x"][order]) - batch["y"][order]) ** 2)


@add_step(EXACT)
def mixed_up(p: Any, batch: Any) -> Any:
    """Mixup: each example with the one before it."""
    x = 0.7 * batch["x"] + 0.3 * jnp.roll(batch["x"], 1, axis=0)
    return jnp.mean((net(p, x) - batch["y"]) ** 2)


@add_step(EXACT)
def sorted_by_a_feature(p: Any, batch: Any) -> Any:
    order = jnp.argsort(batch["x"][:, 0])
    return jnp.mean(net(p, batch["x"][order]) * jnp.arange(B)[:, None])


# --- One after another ---


@add_step(EXACT)
def mapped(p: Any, batch: Any) -> Any:
    return jnp.mean(jax.lax.map(lambda e: jnp.sum(net(p, e["x"]) - e["y"]) ** 2, batch))


@add_step(EXACT)
def mapped_with_checkpoint(p: Any, batch: Any) -> Any:
    one = jax.checkpoint(lambda e: jnp.sum(net(p, e["x"]) * e["y"]))
    return jnp.sum(jax.lax.map(one, batch) ** 2)


@add_step(EXACT)
def mapped_in_chunks(p: Any, batch: Any) -> Any:
    return jnp.mean(jax.lax.map(lambda x: net(p, x), batch["x"], batch_size=2) * batch["y"])


@add_step(EXACT)
def scanned_with_a_total(p: Any, batch: Any) -> Any:
    def body(total: Any, x: Any) -> Any:
        out = net(p, x)
        return total + jnp.sum(out**2), out

    total, outs = jax.lax.scan(body, 0.0, batch["x"])
    return total + jnp.mean(outs * batch["y"])


@add_step(EXACT)
def mapped_with_a_key_each(p: Any, batch: Any) -> Any:
    keys = jax.random.split(jax.random.key(3), B)

    def one(x_and_key: Any) -> Any:
        x, key = x_and_key
        return jnp.sum(net(p, x * jax.random.normal(key, (D,))))

    return jnp.mean(jax.lax.map(one, (batch["x"], keys)) ** 2)


@add_step(EXACT)
def numbered_in_a_loop(p: Any, batch: Any) -> Any:
    def body(k: Any, total: Any) -> Any:
        return total + k * jnp.sum(net(p, batch["x"][k]))

    return jax.lax.fori_loop(0, B, body, 0.0) / B


@add_step(EXACT)
def numbered_from_the_end(p: Any, batch: Any) -> Any:
    def body(total: Any, x_and_number: Any) -> Any:
        x, number = x_and_number
        return total + jnp.sum(net(p, x)) * jnp.sin(number), None

    numbers = jnp.arange(B, dtype=jnp.float32)
    return jax.lax.scan(body, 0.0, (batch["x"], numbers), reverse=True)[0] / B


@add_step(EXACT)
def views_mapped_one_by_one(p: Any, batch: Any) -> Any:
    views = jnp.concatenate([batch["x"], batch["x"][:, ::-1]])
    return jnp.mean(jax.lax.map(lambda x: jnp.sum(net(p, x)) ** 2, views))


@add_step(EXACT)
def views_numbered_in_a_loop(p: Any, batch: Any) -> Any:
    def body(total: Any, x_and_number: Any) -> Any:
        x, number = x_and_number
        return total + jnp.sum(net(p, x)) * jnp.cos(number), jnp.sum(x @ p["b"]) * number

    views = jnp.concatenate([batch["x"], batch["y"], -batch["x"]])
    numbers = jnp.arange(3 * B, dtype=jnp.float32)
    total, outs = jax.lax.scan(body, 0.0, (views, numbers), reverse=True)
    return total / B + jnp.mean(outs.reshape(3, B)[1] ** 2)


# --- Weights in loops and branches ---


@add_step(EXACT)
def weights_used_if_the_state_says_so(p: Any, batch: Any) -> Any:
    h = jax.lax.cond(p["on"] > 0, lambda x: jnp.tanh(x @ p["a"]), lambda x: x, batch["x"])
    return jnp.mean((h @ p["b"]) ** 2)


@add_step(EXACT)
def weights_chosen_by_the_state(p: Any, batch: Any) -> Any:
    branches = [lambda x: x @ p["a"], lambda x: 2 * x, lambda x: x @ p["a"] @ p["b"]]
    return jnp.mean(jnp.tanh(jax.lax.switch(p["choice"], branches, batch["x"])) @ p["b"])


@add_step(EXACT)
def weights_chosen_by_a_constant(p: Any, batch: Any) -> Any:
    branches = [lambda x: x @ p["a"], lambda x: x @ p["b"]]
    return jnp.mean(jnp.tanh(jax.lax.switch(jnp.int32(1), branches, batch["x"])) @ p["a"])


@add_step(EXACT)
def recurrence_over_time(p: Any, batch: Any) -> Any:
    def cell(h: Any, x: Any) -> Any:
        h = jnp.tanh(h @ p["a"] + x)
        return h, h.sum(-1)

    h, sums = jax.lax.scan(cell, jnp.zeros((B, D)), jnp.moveaxis(batch["times"], 1, 0))
    return jnp.mean((h @ p["b"]) ** 2) + sums.mean()


@add_step(EXACT)
def same_layer_again_and_again(p: Any, batch: Any) -> Any:
    h = jax.lax.fori_loop(0, 7, lambda _, h: jnp.tanh(h @ p["a"]), batch["x"])
    return jnp.mean(h @ p["b"])


@add_step(EXACT)
def gather_by_row_and_label(p: Any, batch: Any) -> Any:
    """Weighted by itself, so that no part of it is known before."""
    log_p = jax.nn.log_softmax(net(p, batch["x"]))
    chosen = log_p[jnp.arange(B), batch["id"]]
    return -jnp.mean((1 - jnp.exp(chosen)) ** 2 * chosen)


@add_step(EXACT)
def parameters_of_the_examples(p: Any, batch: Any) -> Any:
    """An offset per example, which is no batch."""
    offset = jnp.sin(jnp.arange(B, dtype=jnp.float32))[:, None] * p["on"]
    return jnp.mean(net(p, batch["x"] + offset) ** 2)


# --- Examples that read each other ---


@add_step(WHOLE)
def hidden_values_shifted(p: Any, batch: Any) -> Any:
    hidden = jnp.tanh(batch["x"] @ p["a"])
    return jnp.mean(((hidden + jnp.roll(hidden, 1, axis=0)) @ p["b"]) ** 2)


@add_step(WHOLE)
def hidden_values_mirrored(p: Any, batch: Any) -> Any:
    hidden = jnp.tanh(batch["x"] @ p["a"])
    return jnp.mean((hidden @ p["b"]) * (hidden[::-1] @ p["a"]))


@add_step(WHOLE)
def state_passed_from_example_to_example(p: Any, batch: Any) -> Any:
    def body(h: Any, x: Any) -> Any:
        h = jnp.tanh(h @ p["a"] + x)
        return h, h

    return jnp.mean(jax.lax.scan(body, jnp.zeros(D), batch["x"])[1] @ p["b"])


@add_step(WHOLE)
def first_with_last_in_a_loop(p: Any, batch: Any) -> Any:
    def body(k: Any, total: Any) -> Any:
        return total + jnp.sum(net(p, batch["x"][k]) * batch["y"][B - 1 - k])

    return jax.lax.fori_loop(0, B, body, 0.0) / B


@add_step(WHOLE)
def product_of_sums_in_a_loop(p: Any, batch: Any) -> Any:
    def body(_: Any, total: Any) -> Any:
        return total * 0.5 + jnp.sum(jnp.tanh(batch["x"] @ p["a"])) ** 2

    return jax.lax.fori_loop(0, 3, body, 0.0) + jnp.mean(batch["x"] @ p["b"])
