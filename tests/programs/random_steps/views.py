"""Constructs that make rows for the model out of the batch, before the first weight is read."""

from programs.random_steps.registry import construct, is_even
from programs.random_steps.writer import Writer


@construct("view", weight=12)
def as_it_is(w: Writer) -> None:
    pass


def _for_every_leaf(w: Writer, rows: str) -> None:
    w.prepared.append(f"rows = {{name: {rows} for name, v in rows.items()}}")


@construct("view")
def reversed_batch(w: Writer) -> None:
    _for_every_leaf(w, "v[::-1]")


@construct("view", "batch alone")
def mixed_with_the_reversed(w: Writer) -> None:
    w.prepared.append('rows["x"] = 0.7 * rows["x"] + 0.3 * rows["x"][::-1]')


@construct("view")
def two_views(w: Writer) -> None:
    """Every example twice, the second time with its features in reverse."""
    w.prepared.append('mirrored = rows["x"][..., ::-1]')
    _for_every_leaf(w, "jnp.concatenate([v, v])")
    w.prepared.append('rows["x"] = rows["x"].at[B:].set(mirrored)')
    w.sizes["b"] *= 2
    w.has_two_views = True


@construct("view")
def joined_with_the_mirrored(w: Writer) -> None:
    w.prepared.append('rows["x"] = jnp.concatenate([rows["x"], jnp.flip(rows["x"], -1)])')
    w.prepared.append("twice = lambda v: jnp.concatenate([v, v])")
    w.prepared.append('rows |= {name: twice(v) for name, v in rows.items() if name != "x"}')
    w.sizes["b"] *= 2
    w.has_two_views = True


@construct("view", "batch alone", is_possible=is_even)
def strided_halves(w: Writer) -> None:
    """Even examples see the odd ones' features."""
    w.prepared.append('others = rows["x"][1::2]')
    _for_every_leaf(w, "v[::2]")
    w.prepared.append('rows["x"] = rows["x"] - 0.5 * others')
    w.sizes["b"] //= 2


@construct("view")
def half_of_the_batch(w: Writer) -> None:
    _for_every_leaf(w, "v[: B // 2]")
    w.sizes["b"] //= 2


@construct("view", "batch alone", weight=2)
def standardized(w: Writer) -> None:
    mean = w.whole("mean", 'rows["x"].mean(0)')
    scale = w.whole("scale", 'lax.rsqrt(rows["x"].var(0) + 0.1)')
    w.prepared.append(f'rows["x"] = (rows["x"] - {mean}) * {scale}')


@construct("view", "batch alone")
def sorted_by_id(w: Writer) -> None:
    w.ids()
    w.prepared.append('order = jnp.argsort(rows["ids"])')
    _for_every_leaf(w, "v[order]")


@construct("view")
def shuffled_by_the_state(w: Writer) -> None:
    """An order of the examples that the step draws."""
    key = w.state_leaf("key", "jax.random.key(5)")
    w.new_state["key"] = f"jax.random.fold_in({key}, 1)"
    w.prepared.append(f"order = jax.random.permutation({key}, B)")
    _for_every_leaf(w, "v[order]")
