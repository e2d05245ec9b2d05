"""Training steps in which examples decide what runs: branches, switches, loops.

`EXACT` may be split: each example decides for itself, or the batch alone decides for all. `REFUSED`
may not: parameters have a say in what all examples do.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from programs.small_programs import Program

B, D = 8, 6
Loss = Callable[[Any, Any], Any]

EXACT: dict[str, Program] = {}
REFUSED: dict[str, Program] = {}


def _arguments() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    size = np.repeat([0.1, 1.0, 3.0, 30.0], B // 4)[:, None]  # unlike in every microbatch
    params = {name: rng.normal(size=(D, D)).astype(np.float32) / 2 for name in "ab"}
    batch = {
        "x": (size * rng.normal(size=(B, D))).astype(np.float32),
        "n": np.array([1, 2, 2, 3, 4, 2, 7, 3], np.int32),
    }
    return params, batch


def _step(hidden: Loss) -> Program:
    """SGD on a loss of what `hidden(params, batch)` makes of the examples; also returns that."""

    def step(params: Any, batch: Any) -> Any:
        def loss_fn(p: Any) -> Any:
            h = hidden(p, batch)
            return jnp.mean((jnp.tanh(h) @ p["b"]) ** 2), h

        (loss, h), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        return jax.tree.map(lambda w, g: w - 0.1 * g, params, grads), loss, h

    return Program(step, _arguments())


def _exact(hidden: Loss) -> Loss:
    EXACT[hidden.__name__] = _step(hidden)
    return hidden


def _refused(hidden: Loss) -> Loss:
    REFUSED[hidden.__name__] = _step(hidden)
    return hidden


def _layer(p: Any, batch: Any) -> Any:
    return jnp.tanh(batch["x"] @ p["a"])


# --- The batch alone decides ---


@_exact
def cond_by_mean_of_batch(p: Any, batch: Any) -> Any:
    return jax.lax.cond(batch["x"].mean() > 0, jnp.sin, lambda h: 2 * h, _layer(p, batch))


@_exact
def cond_by_any_of_batch(p: Any, batch: Any) -> Any:
    return jax.lax.cond((batch["n"] > 6).any(), jnp.sin, lambda h: h - 1, _layer(p, batch))


@_exact
def switch_by_argmax_of_batch(p: Any, batch: Any) -> Any:
    kind = jnp.argmax(batch["n"]) % 3
    return jax.lax.switch(kind, [jnp.sin, jnp.cos, jnp.tanh], _layer(p, batch))


@_exact
def trips_by_max_of_batch(p: Any, batch: Any) -> Any:
    frozen = stop_gradient(_layer(p, batch))
    return jax.lax.fori_loop(0, batch["n"].max(), lambda i, h: jnp.sin(h) + 0.1, frozen) * (
        _layer(p, batch)
    )


@_exact
def loop_over_the_batch_alone(p: Any, batch: Any) -> Any:
    """A loop that ends when the mean change over all examples is small, before any weight."""

    def unsettled(carry: Any) -> Any:
        z, before, i = carry
        return (jnp.abs(z - before).mean() > 0.05) & (i < 20)

    z, _, count = jax.lax.while_loop(
        unsettled,
        lambda c: (0.5 * jnp.sin(c[0]) + batch["x"] / 40, c[0], c[2] + 1),
        (batch["x"], jnp.zeros((B, D)), 0),
    )
    return _layer(p, batch) * z / count


@_exact
def centred_in_a_loop_of_constant_length(p: Any, batch: Any) -> Any:
    x = jax.lax.fori_loop(0, 3, lambda i, x: jnp.sin(x - x.mean(0)), batch["x"])
    return x @ p["a"]


@_exact
def decided_by_a_decision(p: Any, batch: Any) -> Any:
    """The bound of a loop is chosen by a branch, which the batch decides."""
    bound = jax.lax.cond(batch["x"].max() > 10, lambda n: n.max(), lambda n: n.min(), batch["n"])
    frozen = stop_gradient(_layer(p, batch))
    return jax.lax.fori_loop(0, bound, lambda i, h: jnp.cos(h) - 0.2, frozen) + batch["x"] @ p["a"]


# --- Each example decides for itself ---


@_exact
def where_by_example(p: Any, batch: Any) -> Any:
    h = _layer(p, batch)
    return jnp.where(jnp.abs(h).mean(1, keepdims=True) > 0.3, 2 * h, h - 1)


@_exact
def vmapped_cond(p: Any, batch: Any) -> Any:
    def one(h: Any) -> Any:
        return jax.lax.cond(jnp.abs(h).mean() > 0.3, jnp.sin, lambda h: h - 1, h)

    return jax.vmap(one)(_layer(p, batch))


@_exact
def vmapped_while(p: Any, batch: Any) -> Any:
    """Ends by an `any` over the examples; the weights have a say, and each example stops alone."""

    def one(h: Any) -> Any:
        weights = stop_gradient(p["a"])
        return jax.lax.while_loop(
            lambda c: (jnp.abs(c[0]).sum() > 0.5) & (c[1] < 30),
            lambda c: (0.9 * jnp.tanh(c[0] @ weights), c[1] + 1),
            (h, 0),
        )

    h = _layer(p, batch)
    last, count = jax.vmap(one)(stop_gradient(h))
    return h + last * count[:, None]


@_exact
def vmapped_trips(p: Any, batch: Any) -> Any:
    frozen = stop_gradient(_layer(p, batch))

    def one(n: Any, h: Any) -> Any:
        return jax.lax.fori_loop(0, n, lambda i, h: jnp.sin(h) + 0.1 * i, h)

    return jax.vmap(one)(batch["n"], frozen) * _layer(p, batch)


# --- Not the examples ---


@_exact
def cond_by_weights(p: Any, batch: Any) -> Any:
    """Every microbatch decides alike."""
    return jax.lax.cond(p["b"].mean() > 0, jnp.sin, lambda h: 2 * h, _layer(p, batch))


# --- Parameters have a say ---


@_refused
def cond_by_mean(p: Any, batch: Any) -> Any:
    h = _layer(p, batch)
    return jax.lax.cond(jnp.abs(h).mean() > 0.3, lambda h: 2 * h, lambda h: h - 1, h)


@_refused
def cond_by_any(p: Any, batch: Any) -> Any:
    h = _layer(p, batch)
    return jax.lax.cond((h > 0.99).any(), jnp.sin, lambda h: h - 1, h)


@_refused
def switch_by_argmax(p: Any, batch: Any) -> Any:
    h = _layer(p, batch)
    return jax.lax.switch(jnp.argmax(h.sum(1)) % 3, [jnp.sin, jnp.cos, jnp.tanh], h)


@_refused
def trips_by_max(p: Any, batch: Any) -> Any:
    h = _layer(p, batch)
    bound = (4 * jnp.abs(h)).max().astype(jnp.int32)
    return h * jax.lax.fori_loop(0, bound, lambda i, h: jnp.sin(h), stop_gradient(h))


@_refused
def loop_until_the_mean_settles(p: Any, batch: Any) -> Any:
    h = _layer(p, batch)
    weights = stop_gradient(p["a"])
    z, _ = jax.lax.while_loop(
        lambda c: jnp.abs(c[0] - c[1]).mean() > 0.05,
        lambda c: (0.5 * jnp.tanh(c[0] @ weights), c[0]),
        (stop_gradient(h), jnp.zeros((B, D))),
    )
    return h + z


@_refused
def vmapped_while_with_a_common_count(p: Any, batch: Any) -> Any:
    """An `any` over examples, but what they count in common goes on until the last one is done."""
    h = _layer(p, batch)
    z, count = jax.lax.while_loop(
        lambda c: (jnp.abs(c[0]).sum(1) > 0.5).any(),
        lambda c: (jnp.where(jnp.abs(c[0]).sum(1, keepdims=True) > 0.5, c[0] / 2, c[0]), c[1] + 1),
        (stop_gradient(h), 0),
    )
    return h + z * count


@_refused
def vmapped_while_that_goes_on(p: Any, batch: Any) -> Any:
    """An `any` over examples, and examples that are done go on."""
    h = _layer(p, batch)
    return h + jax.lax.while_loop(
        lambda z: (jnp.abs(z).sum(1) > 0.5).any(), lambda z: z / 2, stop_gradient(h)
    )


@_refused
def branch_in_a_loop(p: Any, batch: Any) -> Any:
    """In a loop of constant length, a branch by a mean."""

    def body(i: Any, h: Any) -> Any:
        return jax.lax.cond(h.mean() > 0, jnp.sin, lambda h: h - 0.1, h)

    h = _layer(p, batch)
    return h + jax.lax.fori_loop(0, 3, body, stop_gradient(h))


@_refused
def loop_in_a_branch(p: Any, batch: Any) -> Any:
    """In a branch by weights, a loop that ends for all examples at once."""

    def settle(h: Any) -> Any:
        return jax.lax.while_loop(lambda z: jnp.abs(z).max() > 0.2, lambda z: z / 2, h)

    h = _layer(p, batch)
    return h + jax.lax.cond(p["b"].sum() > 0, settle, jnp.sin, stop_gradient(h))


@_refused
def sum_of_a_loop_that_decides(p: Any, batch: Any) -> Any:
    """What a loop sums over examples decides, next, how long another one runs."""
    h = stop_gradient(_layer(p, batch))
    _, total = jax.lax.fori_loop(0, 3, lambda i, c: (jnp.sin(c[0]), c[1] + c[0].sum()), (h, 0.0))
    bound = jnp.abs(total).astype(jnp.int32)
    return jax.lax.fori_loop(0, bound, lambda i, z: jnp.cos(z), h) * (batch["x"] @ p["a"])
