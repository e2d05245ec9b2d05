"""Training steps that take the batch in two chunks, one after the other.

`EXACT` may be split in any number of microbatches, smaller than the chunks too, `IN_CHUNKS` in no
more than there are chunks.
"""

from typing import Any

import jax
import jax.numpy as jnp

from programs.rearranged_steps import B, D, add_step, net
from programs.small_programs import Program

EXACT: dict[str, Program] = {}
IN_CHUNKS: dict[str, Program] = {}


def _chunks(rows: Any) -> Any:
    return rows.reshape(2, B // 2, *rows.shape[1:])


@add_step(EXACT)
def loss_in_two_chunks(p: Any, batch: Any) -> Any:
    def add(total: Any, chunk: Any) -> Any:
        hidden, y = chunk
        return total + jnp.sum(jnp.tanh(hidden @ p["b"] - y) ** 2), None

    hidden = jnp.tanh(batch["x"] @ p["a"])
    chunks = _chunks(hidden), _chunks(batch["y"])
    return jax.lax.scan(jax.checkpoint(add), 0.0, chunks)[0] / B


@add_step(EXACT)
def chunks_with_stacked_results(p: Any, batch: Any) -> Any:
    def add(total: Any, hidden: Any) -> Any:
        out = jnp.tanh(hidden @ p["b"])
        return total + jnp.mean(out[:, ::2]), out

    total, outs = jax.lax.scan(add, 0.0, _chunks(jnp.tanh(batch["x"] @ p["a"])))
    return total + jnp.mean((outs.reshape(B, D) @ p["a"] - batch["y"]) ** 2)


@add_step(EXACT)
def chunks_with_a_mask_of_labels(p: Any, batch: Any) -> Any:
    def add(total: Any, chunk: Any) -> Any:
        hidden, label = chunk
        log_p = jax.nn.log_softmax(hidden @ p["b"])
        losses = jnp.take_along_axis(log_p, label[:, None], 1)[:, 0]
        return total + jnp.sum(jnp.where(label != 3, losses, 0)), None

    hidden = jnp.tanh(batch["x"] @ p["a"])
    chunks = _chunks(hidden), _chunks(batch["id"])
    return -jax.lax.scan(jax.checkpoint(add), 0.0, chunks)[0] / jnp.sum(batch["id"] != 3)


@add_step(EXACT)
def chunks_along_another_dim(p: Any, batch: Any) -> Any:
    hidden = jnp.tanh(batch["times"] @ p["a"]).transpose(1, 0, 2)
    chunks = jnp.moveaxis(hidden.reshape(5, 2, B // 2, D), 1, 0)

    def add(total: Any, chunk: Any) -> Any:
        return total + jnp.sum(jnp.tanh(chunk @ p["b"]) ** 2), None

    return jax.lax.scan(add, 0.0, chunks)[0] / B


@add_step(EXACT)
def chunks_of_sorted_examples(p: Any, batch: Any) -> Any:
    order = jnp.argsort(batch["id"])

    def add(total: Any, chunk: Any) -> Any:
        x, y = chunk
        return total + jnp.sum((net(p, x) - y) ** 2), None

    chunks = _chunks(batch["x"][order]), _chunks(batch["y"][order])
    return jax.lax.scan(jax.checkpoint(add), 0.0, chunks)[0] / B


@add_step(EXACT)
def chunks_weighted_by_place(p: Any, batch: Any) -> Any:
    weights = jnp.sin(jnp.arange(B // 2, dtype=jnp.float32)) * p["on"]

    def add(total: Any, chunk: Any) -> Any:
        losses = jnp.mean((net(p, chunk)) ** 2, axis=1)
        return total + losses @ weights + jnp.sum(losses * jnp.arange(B // 2)), None

    return jax.lax.scan(add, 0.0, _chunks(batch["x"]))[0]


@add_step(EXACT)
def chunks_through_loops(p: Any, batch: Any) -> Any:
    """Over layers, and for each example until it is small."""

    def add(total: Any, chunk: Any) -> Any:
        for_each = jax.vmap(
            lambda z: jax.lax.while_loop(lambda z: jnp.abs(z).max() > 0.3, lambda z: z * 0.6, z)
        )
        h = chunk + for_each(jax.lax.stop_gradient(chunk))
        h = jax.lax.fori_loop(0, 3, lambda _, h: jnp.tanh(h @ p["b"]), h)
        return total + jnp.sum(h**2), None

    return jax.lax.scan(add, 0.0, _chunks(batch["x"] @ p["a"]))[0] / B


@add_step(IN_CHUNKS)
def chunks_that_are_numbered(p: Any, batch: Any) -> Any:
    def add(total: Any, chunk: Any) -> Any:
        number, x = chunk
        return total + number * jnp.sum(net(p, x) ** 2), None

    return jax.lax.scan(add, 0.0, (1.0 + jnp.arange(2), _chunks(batch["x"])))[0] / B


@add_step(IN_CHUNKS)
def chunks_whose_examples_meet(p: Any, batch: Any) -> Any:
    def add(total: Any, chunk: Any) -> Any:
        out = net(p, chunk)
        return total + jnp.sum((out - out.mean(0)) ** 2), None

    return jax.lax.scan(add, 0.0, _chunks(batch["x"]))[0] / B


@add_step(IN_CHUNKS)
def norms_of_chunks(p: Any, batch: Any) -> Any:
    def add(total: Any, chunk: Any) -> Any:
        return total + jnp.sqrt(jnp.sum(net(p, chunk) ** 2)), None

    return jax.lax.scan(jax.checkpoint(add), 0.0, _chunks(batch["x"]))[0] / B


@add_step(IN_CHUNKS)
def chunks_with_a_penalty_each(p: Any, batch: Any) -> Any:
    def add(total: Any, chunk: Any) -> Any:
        return total + jnp.sum(net(p, chunk) ** 2) + jnp.sum(p["a"] ** 2), None

    return jax.lax.scan(add, 0.0, _chunks(batch["x"]))[0] / B
