"""Constructs of the model that loop and branch, and who decides how often and whereto."""

from typing import Any

from programs.random_steps.layers import BOTH
from programs.random_steps.registry import Meets, construct, has_time
from programs.random_steps.writer import Writer

DECIDERS = (
    "constant",
    "counter",
    "weights",
    "batch mean",
    "batch max",
    "batch any",
    "batch argmax",
    "activations mean",
    "activations max",
)

UNTIL_SMALL = "lax.while_loop(lambda z: jnp.abs(z).max() > 0.3, lambda z: z * 0.6, z)"


def _meets(options: dict[str, Any]) -> Meets:
    if options["by"].startswith("batch"):
        return "batch alone"
    return "with parameters" if options["by"].startswith("activations") else "no"


def _number(w: Writer, by: str) -> str:
    """An integer of 0 to 3, decided by something."""
    match by:
        case "constant":
            return "jnp.int32(1)"
        case "counter":
            return f"{w.state_leaf('count', 'jnp.int32(0)')} % 4"
        case "weights":
            weight = w.param(w.sizes["f"], scale=1)
            return f"(100 * jnp.abs({weight}[0])).astype(jnp.int32) % 4"
        case "batch mean":
            return w.whole("number", '(40 * jnp.abs(rows["x"].mean())).astype(jnp.int32) % 4')
        case "batch max":
            return w.whole("number", '(9 * jnp.abs(rows["x"]).max()).astype(jnp.int32) % 4')
        case "batch any":
            w.ids()
            return w.whole("number", '(rows["ids"] == 3).any().astype(jnp.int32) * 2')
        case "batch argmax":
            return w.whole("number", 'jnp.argmax(rows["x"].reshape(R, -1)[:, 0]) % 4')
        case "activations mean":
            return "(40 * jnp.abs(lax.stop_gradient(h).mean())).astype(jnp.int32) % 4"
        case _:
            return "(50 * jnp.abs(lax.stop_gradient(h)).max()).astype(jnp.int32) % 4"


@construct("model", _meets, is_rarely_visible=True, weight=3, by=DECIDERS, has_weights=BOTH)
def branch(w: Writer, by: str, has_weights: bool) -> None:
    number = _number(w, by)
    taken = f"jnp.tanh({w.dot(w.matrix())})" if has_weights else "2 * h"
    w.write(f"h = lax.cond({number} > 1, lambda h: {taken}, lambda h: 0.5 * h - 0.1, h)")


@construct("model", _meets, is_rarely_visible=True, weight=2, by=DECIDERS, has_weights=BOTH)
def switch(w: Writer, by: str, has_weights: bool) -> None:
    number = _number(w, by)
    taken = f"h + {w.dot(w.matrix())}" if has_weights else "jnp.sin(h)"
    branches = f"[lambda h: h, lambda h: {taken}, lambda h: 0.5 * h - 0.1]"
    w.write(f"h = lax.switch(jnp.minimum({number}, 2), {branches}, h)")


@construct("model", _meets, is_rarely_visible=True, weight=2, by=DECIDERS)
def counted_loop(w: Writer, by: str) -> None:
    """A trip count that is known only when the step runs: no gradient goes through."""
    w.write(f"trips = {_number(w, by)}")
    w.write("body = lambda k, z: jnp.tanh(z + 0.5)")
    w.write("h = h + 0.3 * lax.fori_loop(0, trips, body, lax.stop_gradient(h))")


@construct("model", "with parameters", is_rarely_visible=True)
def loop_until_all_are_small(w: Writer) -> None:
    w.write(f"until = lambda z: {UNTIL_SMALL}", "h = h + until(lax.stop_gradient(h))")


@construct("model", weight=2)
def loop_until_the_example_is_small(w: Writer) -> None:
    w.batch_first()
    w.write(f"until = lambda z: {UNTIL_SMALL}")
    w.write("h = h + jax.vmap(until)(lax.stop_gradient(h))")


@construct("model")
def loop_of_as_many_trips_as_the_id(w: Writer) -> None:
    w.batch_first()
    w.write("times = lambda z, n: lax.fori_loop(0, n, lambda k, z: jnp.sin(z + 0.2), z)")
    w.write(f"h = h + jax.vmap(times)(lax.stop_gradient(h), {w.ids()})")


@construct("model", weight=2, trips=(2, 3), has_weights=BOTH)
def fixed_loop(w: Writer, trips: int, has_weights: bool) -> None:
    body = f"h + 0.3 * jnp.tanh({w.dot(w.matrix())})" if has_weights else "jnp.sin(h + 0.1 * k)"
    w.write(f"h = lax.fori_loop(0, {trips}, lambda k, h: {body}, h)")


@construct("model", weight=2, layers=(2, 3, 4), is_checkpoint=BOTH)
def layers_in_a_scan(w: Writer, layers: int, is_checkpoint: bool) -> None:
    w.num_products += layers
    weights = w.param(layers, w.sizes["f"], w.sizes["f"], scale=0.7)
    layer = f"lambda h, w: (h + jnp.tanh({w.dot('w')}), None)"
    w.write(f"layer = {f'jax.checkpoint({layer})' if is_checkpoint else layer}")
    w.write(f"h = lax.scan(layer, h, {weights})[0]")


@construct("model", weight=2, is_possible=has_time, is_reverse=BOTH)
def recurrence(w: Writer, is_reverse: bool) -> None:
    w.to("tbf")
    cell = f"lambda c, x: (jnp.tanh(x + c @ {w.matrix()}),) * 2"
    zeros = f"jnp.zeros(({w.shape('bf')}), h.dtype)"
    w.write(f"h = lax.scan({cell}, {zeros}, h, reverse={is_reverse})[1]")


@construct("model", is_possible=has_time)
def recurrence_of_lengths(w: Writer) -> None:
    """Sequences that end early keep their last state."""
    w.to("tbf")
    lengths = w.row("lengths", "1 + integers(T, B)")
    w.write(f"cell = lambda c, x: jnp.tanh(x + c @ {w.matrix()})")
    w.write(f"kept = lambda c, x, t: jnp.where((t < {lengths})[:, None], cell(c, x), c)")
    w.write("scanned = lambda c, each: (kept(c, *each),) * 2")
    zeros = f"jnp.zeros(({w.shape('bf')}), h.dtype)"
    w.write(f"h = lax.scan(scanned, {zeros}, (h, jnp.arange({w.sizes['t']})))[1]")


@construct("model", has_weights=BOTH)
def mapped_examples(w: Writer, has_weights: bool) -> None:
    w.batch_first()
    body = f"jnp.tanh(z @ {w.matrix()})" if has_weights else "jnp.sin(z) + z.mean()"
    w.write(f"h = lax.map(lambda z: {body}, h)")


@construct("model")
def branch_of_every_example(w: Writer) -> None:
    w.batch_first()
    each = "lambda z, i: lax.cond(i > 2, lambda z: jnp.sin(z), lambda z: 0.5 * z, z)"
    w.write(f"h = h + jax.vmap({each})(h, {w.ids()})")
