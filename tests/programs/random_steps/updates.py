"""Constructs of the update: what happens to gradients `g`, parameters `new` and counters.

They are written in the order in which they are drawn. A step without gradients ignores them.
"""

from programs.random_steps.registry import construct
from programs.random_steps.writer import Writer


@construct("update", weight=2)
def clipped_by_norm(w: Writer) -> None:
    w.finish += [
        "norm = jnp.sqrt(sum(jnp.sum(jnp.abs(v) ** 2) for v in jax.tree.leaves(g)))",
        "g = jax.tree.map(lambda v: v * jnp.minimum(1, 0.5 / (norm + 1e-6)), g)",
    ]


@construct("update")
def clipped_by_value(w: Writer) -> None:
    w.finish += [
        "clip = lambda v: v if jnp.iscomplexobj(v) else jnp.clip(v, -0.1, 0.1)",
        "g = jax.tree.map(clip, g)",
    ]


@construct("update")
def decayed(w: Writer) -> None:
    w.finish.append("g = jax.tree.map(lambda v, q: v + 0.01 * jnp.conj(q), g, p)")


@construct("update", weight=2)
def momentum(w: Writer) -> None:
    """For all parameters: its state is that of `zeros_like_params`."""
    velocity = w.state_leaf("velocity", "zeros_like_params")
    w.finish.append(f"g = velocity = jax.tree.map(lambda v, q: 0.9 * v + q, {velocity}, g)")
    w.new_state["velocity"] = "velocity"


@construct("update")
def adaptive(w: Writer) -> None:
    """Adam's second moment, with an epsilon that keeps rounding small."""
    moment = w.state_leaf("moment", "zeros_like_params")
    w.finish += [
        "square = lambda v, q: 0.9 * v + 0.1 * jnp.abs(q) ** 2",
        f"moment = jax.tree.map(square, {moment}, g)",
        "divide = lambda q, v: q / (jnp.sqrt(jnp.abs(v) + 1e-3) + 0.1)",
        "g = jax.tree.map(divide, g, moment)",
    ]
    w.new_state["moment"] = "moment"


@construct("update", weight=2)
def counted(w: Writer) -> None:
    count = w.state_leaf("count", "jnp.int32(0)")
    w.new_state["count"] = f"{count} + 1"


@construct("update")
def warmed_up(w: Writer) -> None:
    count = w.state_leaf("count", "jnp.int32(0)")
    w.new_state["count"] = f"{count} + 1"
    w.finish.append(f"g = jax.tree.map(lambda v: v * jnp.minimum(1.0, ({count} + 1) / 3), g)")


@construct("update")
def optimized_by_optax(w: Writer) -> None:
    name = "optimizer"
    old = w.state_leaf(name, f"{name}.init(params)")
    w.finish.append(f"g, {name}_state = {name}.update(g, {old}, p)")
    w.finish.append("g = jax.tree.map(lambda v: -10 * jnp.conj(v), g)")
    w.new_state[name] = f"{name}_state"


@construct("update")
def averaged(w: Writer) -> None:
    """A running average of the parameters."""
    average = w.state_leaf("average", "zeros_like_params")
    w.new_state["average"] = f"jax.tree.map(lambda a, q: 0.9 * a + 0.1 * q, {average}, new)"


@construct("update")
def skipped_where_not_finite(w: Writer) -> None:
    w.finish.append("ok = jnp.stack([jnp.isfinite(v).all() for v in jax.tree.leaves(g)]).all()")
    w.finish.append("g = jax.tree.map(lambda v: jnp.where(ok, v, 0), g)")


@construct("update")
def smoothed_losses_of_examples(w: Writer) -> None:
    """A leaf of the state with a number per row."""
    w.aux["losses"] = "losses"
    old = w.state_leaf("smoothed", "jnp.zeros(R)")
    w.new_state["smoothed"] = f'0.5 * {old} + 0.5 * aux["losses"]'


@construct("update")
def remembered_by_id(w: Writer) -> None:
    """Rows of a table that the ids of the examples name get the examples' losses."""
    w.aux["losses"] = "losses"
    table = w.state_leaf("table", "jnp.zeros(5)")
    w.ids()
    w.new_state["table"] = f'{table}.at[rows["ids"]].add(0.1 * aux["losses"])'


@construct("update")
def loss_scale(w: Writer) -> None:
    """Halved where a gradient is too large, else doubled."""
    scale = w.state_leaf("loss_scale", "jnp.float32(4)")
    w.finish.append("size = jnp.stack([jnp.abs(v).max() for v in jax.tree.leaves(g)]).max()")
    w.new_state["loss_scale"] = f"jnp.where(size > 0.3, {scale} / 2, {scale} * 2)"


@construct("update")
def every_second_step(w: Writer) -> None:
    """Applied by a branch in some steps only."""
    count = w.state_leaf("count", "jnp.int32(0)")
    w.new_state["count"] = f"{count} + 1"
    w.finish.append("none = lambda g: jax.tree.map(jnp.zeros_like, g)")
    w.finish.append(f"g = lax.cond({count} % 2 == 0, lambda g: g, none, g)")
