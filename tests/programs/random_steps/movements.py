"""Constructs of the model without weights: what moves, normalises, mixes or drops activations."""

from programs.random_steps.layers import BOTH
from programs.random_steps.registry import construct, has_time, is_even_in_halves
from programs.random_steps.writer import Writer

LAYOUTS = {2: ("bf", "fb"), 3: ("btf", "tbf", "tfb", "bft", "ftb", "fbt")}


@construct("model", weight=3, order=(0, 1, 2, 3, 4, 5))
def transposed(w: Writer, order: int) -> None:
    """From here on the batch may be any dim."""
    layouts = LAYOUTS[len(w.layout)]
    w.to(layouts[order % len(layouts)])


@construct("model")
def twins(w: Writer) -> None:
    w.write("h = jnp.where(h > 0, jnp.sqrt(jnp.where(h > 0, h, 1.0) + 0.1), 0.5 * h)")


@construct("model", is_possible=is_even_in_halves)
def halves_of_the_batch(w: Writer) -> None:
    """A reshape that splits the batch dim, and one that joins it again."""
    w.batch_first()
    rows, rest = w.sizes["b"], w.shape(w.layout[1:])
    w.write(f"h = jnp.tanh(h.reshape({rows // 2}, 2, {rest}) * 1.5).reshape({rows}, {rest})")


@construct("model", "with parameters", is_possible=is_even_in_halves)
def neighbours(w: Writer) -> None:
    """Every example sees the one beside it."""
    w.batch_first()
    rows, rest = w.sizes["b"], w.shape(w.layout[1:])
    w.write(f"pairs = h.reshape({rows // 2}, 2, {rest})")
    w.write(f"h = (pairs + jnp.tanh(pairs[:, ::-1])).reshape({rows}, {rest})")


@construct("model", weight=2, has_scale=BOTH)
def layer_norm(w: Writer, has_scale: bool) -> None:
    axis = w.axis("f")
    scale = f" * (1 + {w.vector()})" if has_scale else ""
    w.write(f"h = h - h.mean({axis}, keepdims=True)")
    w.write(f"h = h * lax.rsqrt((h**2).mean({axis}, keepdims=True) + 0.1){scale}")


def _axes_of_batch(w: Writer) -> str:
    return f"({', '.join(str(i) for i, dim in enumerate(w.layout) if dim != 'f')},)"


@construct("model", "with parameters")
def batch_norm(w: Writer) -> None:
    axes = _axes_of_batch(w)
    w.write(f"h = h - h.mean({axes}, keepdims=True)")
    w.write(f"h = h * lax.rsqrt((h**2).mean({axes}, keepdims=True) + 0.1)")


@construct("model")
def batch_norm_by_running_statistics(w: Writer) -> None:
    """What is learned of the batch is used in the next step."""
    mean = w.state_leaf("running_mean", "jnp.zeros(F)")
    w.write(f"mean_of_examples = h.astype(jnp.float32).mean({_axes_of_batch(w)})")
    w.aux["mean_of_examples"] = "mean_of_examples"
    w.new_state["running_mean"] = f'0.9 * {mean} + 0.1 * aux["mean_of_examples"]'
    w.write(f"h = h - {w.along(mean, 'f')}.astype(h.dtype)")


@construct("model")
def softmax(w: Writer) -> None:
    w.write(f"h = h.shape[{w.axis('f')}] * jax.nn.softmax(h, {w.axis('f')})")


@construct("model", "with parameters")
def softmax_over_examples(w: Writer) -> None:
    w.write(f"h = h.shape[{w.axis('b')}] * jax.nn.softmax(h, {w.axis('b')})")


@construct("model")
def sorted_features(w: Writer) -> None:
    w.write(f"h = h + jnp.sort(h, {w.axis('f')})")


@construct("model", "with parameters")
def sorted_examples(w: Writer) -> None:
    w.write(f"h = h + jnp.sort(h, {w.axis('b')})")


@construct("model")
def cumulated_features(w: Writer) -> None:
    w.write(f"h = jnp.cumsum(h, {w.axis('f')}) * 0.3")


@construct("model", "with parameters")
def cumulated_examples(w: Writer) -> None:
    w.write(f"h = jnp.cumsum(h, {w.axis('b')}) * 0.3")


@construct("model", is_possible=has_time)
def cumulated_time(w: Writer) -> None:
    w.write(f"h = jnp.cumsum(h, {w.axis('t')}) * 0.5")


@construct("model")
def largest_features(w: Writer) -> None:
    w.to("tbf" if "t" in w.layout else "bf")
    w.write("h = h + lax.top_k(h, 2)[0].sum(-1, keepdims=True) * 0.3")


@construct("model")
def chosen_feature(w: Writer) -> None:
    """h[arange(rows), ids]: every row reads itself alone."""
    w.batch_first()
    rows = "h" if "t" not in w.layout else "h[:, 0]"
    chosen = f"{rows}[jnp.arange({w.sizes['b']}), {w.ids()} % {w.sizes['f']}]"
    w.write(f"h = h * (1 + 0.2 * jnp.tanh({w.along(f'({chosen})', 'b')}))")


@construct("model")
def chosen_along_axis(w: Writer) -> None:
    w.batch_first()
    where = w.row("order", "integers(F, B, F)")
    where = f"{where}[:, None, :]" if "t" in w.layout else where
    w.write(f"h = h + 0.5 * jnp.take_along_axis(h, {where}, axis=-1)")


@construct("model")
def scattered_features(w: Writer) -> None:
    """Every row adds into one of its own features."""
    w.batch_first()
    first = "h[:, 0, 0]" if "t" in w.layout else "h[:, 0]"
    position = f"jnp.arange({w.sizes['b']}), {w.ids()} % {w.sizes['f']}"
    w.write(f"added = jnp.zeros(({w.shape('bf')}), h.dtype).at[{position}].add({first})")
    w.write(f"h = h + {w.along('added', 'bf')}")


@construct("model", "with parameters")
def means_of_segments(w: Writer) -> None:
    """Examples read the sum of those with the same id."""
    w.batch_first()
    ids = w.ids()
    w.write(f"sums = jax.ops.segment_sum(h, {ids}, 5)", f"h = h + 0.3 * sums[{ids}]")


@construct("model", rate=(0.1, 0.5))
def dropout_by_the_state(w: Writer, rate: float) -> None:
    key = w.state_leaf("key", "jax.random.key(5)")
    w.new_state["key"] = f"jax.random.fold_in({key}, 1)"
    w.write(f"kept = jax.random.bernoulli({key}, {1 - rate}, h.shape)")
    w.write(f"h = jnp.where(kept, h / {1 - rate}, 0)")


@construct("model", is_typed=BOTH)
def dropout_by_a_key_of_the_batch(w: Writer, is_typed: bool) -> None:
    """A leaf of the batch that has no examples."""
    w.others["key"] = "jax.random.key(i)" if is_typed else "jax.random.PRNGKey(i)"
    w.write('h = jnp.where(jax.random.bernoulli(whole["key"], 0.8, h.shape), h, 0)')


@construct("model")
def bytes_of_the_batch(w: Writer) -> None:
    """As pixels come."""
    values = w.row("bytes", "integers(255, B, F).astype(np.uint8)")
    values = values if w.axis("b") < w.axis("f") else f"{values}.T"
    w.write(f"h = h + {w.along(values, 'bf')}.astype(h.dtype) / 255")


@construct("model")
def flags_of_the_batch(w: Writer) -> None:
    flags = w.row("flags", "integers(2, B) == 1")
    w.write(f"h = jnp.where({w.along(flags, 'b')}, h, 0.5 * h)")


@construct("model")
def noise_by_keys_of_examples(w: Writer) -> None:
    w.batch_first()
    keys = w.row("keys", "np.asarray(jax.random.split(jax.random.PRNGKey(i), B))")
    w.write(f"noise = jax.vmap(lambda key: jax.random.normal(key, h.shape[1:]))({keys})")
    w.write("h = h + 0.1 * noise.astype(h.dtype)")


@construct("model")
def scale_of_the_batch_argument(w: Writer) -> None:
    """A number as a leaf of the batch."""
    w.others["scale"] = "np.float32(1.5 + i)"
    w.write('h = h * whole["scale"].astype(h.dtype) / 2')


@construct("model", "batch alone")
def scale_by_a_statistic_of_the_batch(w: Writer) -> None:
    level = w.whole("level", 'jnp.abs(rows["x"]).mean()')
    w.write(f"h = h * {level}.astype(h.dtype)")


@construct("model", start=(0, 2, 50))
def clamped_slice(w: Writer, start: int) -> None:
    """A dynamic slice of the features, whose start is out of range in some steps."""
    count, axis = w.state_leaf("count", "jnp.int32(0)"), w.axis("f")
    w.write(f"part = lax.dynamic_slice_in_dim(h, {count} + {start}, {w.sizes['f'] - 2}, {axis})")
    w.write(f"h = lax.dynamic_update_slice_in_dim(h, 0.5 * part, {count}, {axis})")


@construct("model")
def clamped_slices_of_examples(w: Writer) -> None:
    w.batch_first()
    axis, size = len(w.layout) - 2, w.sizes["f"] - 1
    w.write(f"cut = lambda z, i: lax.dynamic_slice_in_dim(z, i, {size}, {axis})")
    w.write(f"part = jax.vmap(cut)(h, {w.ids()})")
    w.write("h = h + 0.3 * part.mean(-1, keepdims=True)")


@construct("model")
def scaled_gradient(w: Writer) -> None:
    w.write("h = scaled_gradient(h)")


@construct("model")
def stopped_gradient(w: Writer) -> None:
    w.write("h = h + jnp.tanh(lax.stop_gradient(h))")
